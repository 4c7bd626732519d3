// The module `counter` of the emulated chip: the processor's count of executed instructions, and a
// serial line in memory with the methods of machine.UART that firmware/uart.py calls.

#include <string.h>
#include "py/runtime.h"
#include "py/stream.h"

// The count modulo 2**30: a small int.
static mp_obj_t instructions(void) {
    uint32_t count;
    __asm volatile ("csrr %0, instret" : "=r" (count));
    return MP_OBJ_NEW_SMALL_INT(count & 0x3fffffff);
}
static MP_DEFINE_CONST_FUN_OBJ_0(instructions_obj, instructions);

typedef struct {
    mp_obj_base_t base;
    mp_obj_t given;     // what is read from, so that the garbage collector finds it
    mp_obj_t written;   // a bytearray for what is written
    size_t at;
    size_t written_size;
} line_t;

static mp_obj_t line_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    line_t *line = mp_obj_malloc(line_t, type);
    line->given = mp_const_empty_bytes;
    line->written = args[0];
    line->at = line->written_size = 0;
    return MP_OBJ_FROM_PTR(line);
}

// feed(data): the bytes that come in next; what was written before is forgotten.
static mp_obj_t line_feed(mp_obj_t self, mp_obj_t data) {
    line_t *line = MP_OBJ_TO_PTR(self);
    line->given = data;
    line->at = line->written_size = 0;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(line_feed_obj, line_feed);

static mp_obj_t line_readinto(mp_obj_t self, mp_obj_t buffer) {
    line_t *line = MP_OBJ_TO_PTR(self);
    mp_buffer_info_t from, to;
    mp_get_buffer_raise(line->given, &from, MP_BUFFER_READ);
    mp_get_buffer_raise(buffer, &to, MP_BUFFER_WRITE);
    size_t count = MIN(from.len - line->at, to.len);
    memcpy(to.buf, (char *)from.buf + line->at, count);
    line->at += count;
    return count ? MP_OBJ_NEW_SMALL_INT(count) : mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(line_readinto_obj, line_readinto);

static mp_obj_t line_write(mp_obj_t self, mp_obj_t data, mp_obj_t count) {
    line_t *line = MP_OBJ_TO_PTR(self);
    mp_buffer_info_t from, to;
    mp_get_buffer_raise(data, &from, MP_BUFFER_READ);
    mp_get_buffer_raise(line->written, &to, MP_BUFFER_WRITE);
    size_t size = MIN(from.len, (size_t)mp_obj_get_int(count));
    if (size > to.len - line->written_size) {
        mp_raise_ValueError(MP_ERROR_TEXT("the line is full"));
    }
    memcpy((char *)to.buf + line->written_size, from.buf, size);
    line->written_size += size;
    return MP_OBJ_NEW_SMALL_INT(size);
}
static MP_DEFINE_CONST_FUN_OBJ_3(line_write_obj, line_write);

// written(): bytes written since the last feed.
static mp_obj_t line_written(mp_obj_t self) {
    line_t *line = MP_OBJ_TO_PTR(self);
    return MP_OBJ_NEW_SMALL_INT(line->written_size);
}
static MP_DEFINE_CONST_FUN_OBJ_1(line_written_obj, line_written);

static const mp_rom_map_elem_t line_table[] = {
    { MP_ROM_QSTR(MP_QSTR_feed), MP_ROM_PTR(&line_feed_obj) },
    { MP_ROM_QSTR(MP_QSTR_readinto), MP_ROM_PTR(&line_readinto_obj) },
    { MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&line_write_obj) },
    { MP_ROM_QSTR(MP_QSTR_written), MP_ROM_PTR(&line_written_obj) },
};
static MP_DEFINE_CONST_DICT(line_dict, line_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    line_type, MP_QSTR_Line, MP_TYPE_FLAG_NONE, make_new, line_new, locals_dict, &line_dict);

static const mp_rom_map_elem_t counter_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_counter) },
    { MP_ROM_QSTR(MP_QSTR_instructions), MP_ROM_PTR(&instructions_obj) },
    { MP_ROM_QSTR(MP_QSTR_Line), MP_ROM_PTR(&line_type) },
};
static MP_DEFINE_CONST_DICT(counter_globals, counter_table);

const mp_obj_module_t counter_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&counter_globals,
};
MP_REGISTER_MODULE(MP_QSTR_counter, counter_module);
