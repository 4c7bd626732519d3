// What a board's MicroPython has and its QEMU port has not: a start by itself, from the board's own
// files, and the module `hardware` for the stand-ins of `machine` and `time` (bench/qemu/board).

#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/runtime/pyexec.h"

// The board "virt" of QEMU (hw/riscv/virt.c): a timer that counts 10 million a second (CLINT), the
// interrupt controller (PLIC) and the serial port, which is its source 10.
#define TIMER_LIMIT ((volatile uint32_t *)0x02004000)
#define TIMER ((volatile uint32_t *)0x0200bff8)
#define TICKS_PER_MS (10000)
#define PLIC ((volatile uint32_t *)0x0c000000)
#define PLIC_ENABLED ((volatile uint32_t *)0x0c002000)
#define PLIC_CLAIM ((volatile uint32_t *)0x0c200004)
#define UART_SOURCE (10)
#define UART_INTERRUPTS ((volatile uint8_t *)0x10000001)
#define UART_RECEIVED (1)

// mie: the timer's and external interrupts; mstatus: whether any is taken, which none is here.
#define WAKING (1 << 7 | 1 << 11)
#define TAKEN (1 << 3)

// As ports/esp32/main.c has it: 16 KB for the task, of which 1 KB is left for what comes then.
#define STACK (15 * 1024)

// What was built into the port: stand-ins, in a ROM file system of at most 1 MB.
#define ROM "0x80800000, 0x100000"

static unsigned starts; // a soft reset leaves it alone

static uint64_t ticks(void) {
    uint32_t high, low;
    do {
        high = TIMER[1];
        low = TIMER[0];
    } while (high != TIMER[1]);
    return (uint64_t)high << 32 | low;
}

// What littlefs is linked with; no time is written, for _boot.py asks for none.
uint64_t mp_hal_time_ns(void) {
    return ticks() * (1000000 / TICKS_PER_MS);
}

// ticks_ms(): milliseconds since the machine was switched on, modulo 2**30.
static mp_obj_t hardware_ticks_ms(void) {
    return MP_OBJ_NEW_SMALL_INT(ticks() / TICKS_PER_MS & 0x3fffffff);
}
static MP_DEFINE_CONST_FUN_OBJ_0(hardware_ticks_ms_obj, hardware_ticks_ms);

// starts(): how often MicroPython has started since then, by soft resets after the first time.
static mp_obj_t hardware_starts(void) {
    return MP_OBJ_NEW_SMALL_INT(starts);
}
static MP_DEFINE_CONST_FUN_OBJ_0(hardware_starts_obj, hardware_starts);

// wait(ms): sleeps until the serial port has something, at the longest for so many milliseconds.
static mp_obj_t hardware_wait(mp_obj_t ms) {
    uint64_t until = ticks() + (uint64_t)mp_obj_get_int(ms) * TICKS_PER_MS;
    TIMER_LIMIT[1] = 0xffffffff; // or a limit of both halves might have passed for a moment
    TIMER_LIMIT[0] = until;
    TIMER_LIMIT[1] = until >> 32;
    PLIC[UART_SOURCE] = 1;
    PLIC_ENABLED[0] = 1 << UART_SOURCE;
    *UART_INTERRUPTS = UART_RECEIVED;
    __asm volatile ("csrc mstatus, %0" :: "r" (TAKEN));
    __asm volatile ("csrs mie, %0\n wfi\n csrc mie, %0" :: "r" (WAKING) : "memory");
    uint32_t source = *PLIC_CLAIM;
    if (source) {
        *PLIC_CLAIM = source;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(hardware_wait_obj, hardware_wait);

static const mp_rom_map_elem_t hardware_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_hardware) },
    { MP_ROM_QSTR(MP_QSTR_ticks_ms), MP_ROM_PTR(&hardware_ticks_ms_obj) },
    { MP_ROM_QSTR(MP_QSTR_starts), MP_ROM_PTR(&hardware_starts_obj) },
    { MP_ROM_QSTR(MP_QSTR_wait), MP_ROM_PTR(&hardware_wait_obj) },
};
static MP_DEFINE_CONST_DICT(hardware_globals, hardware_table);

const mp_obj_module_t hardware_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&hardware_globals,
};
MP_REGISTER_MODULE(MP_QSTR_hardware, hardware_module);

static const char mount_rom[] =
    "import sys, uctypes, vfs\n"
    "vfs.mount(vfs.VfsRom(memoryview(uctypes.bytearray_at(" ROM "))), '/rom')\n"
    "sys.path[:] = ['', '/rom']\n"
    "import _boot\n";

int __real_pyexec_friendly_repl(void);

// Before the prompt, what ports/esp32/main.c does: _boot.py, boot.py and main.py. The linker puts it
// in the prompt's place (--wrap).
int __wrap_pyexec_friendly_repl(void) {
    mp_stack_set_limit(STACK);
    starts++;
    vstr_t source;
    vstr_init(&source, sizeof(mount_rom));
    vstr_add_str(&source, mount_rom);
    pyexec_vstr(&source, false);
    vstr_clear(&source);
    int ended = pyexec_file_if_exists("boot.py");
    if (!(ended & PYEXEC_FORCED_EXIT)) {
        ended = pyexec_file_if_exists("main.py");
    }
    if (ended & PYEXEC_FORCED_EXIT) {
        return ended;
    }
    return __real_pyexec_friendly_repl();
}
