// The module `counter` of the emulated chip: the processor's count of executed instructions, a
// serial line in memory with the methods of machine.UART that firmware/uart.py calls, and a radio in
// memory with the methods of espnow.ESPNow that firmware/radio.py calls.

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

typedef struct {
    mp_obj_base_t base;
    mp_obj_t given;     // a list of (mac, bytearray) that is received from
    mp_obj_t sent;      // a bytearray for what is sent
    size_t at;
    size_t sent_size;
    size_t sends, receives, misses;
} radio_t;

// Radio(buffer): what irecv gives is whole tuples that were made before, for what the driver itself
// takes is not to be counted here.
static mp_obj_t radio_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 1, 1, false);
    radio_t *radio = mp_obj_malloc(radio_t, type);
    radio->given = mp_obj_new_list(0, NULL);
    radio->sent = args[0];
    radio->at = radio->sent_size = 0;
    radio->sends = radio->receives = radio->misses = 0;
    return MP_OBJ_FROM_PTR(radio);
}

// feed(list): the (mac, bytearray) that come in next; what was sent and counted before is forgotten.
static mp_obj_t radio_feed(mp_obj_t self, mp_obj_t list) {
    radio_t *radio = MP_OBJ_TO_PTR(self);
    radio->given = list;
    radio->at = radio->sent_size = 0;
    radio->sends = radio->receives = radio->misses = 0;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(radio_feed_obj, radio_feed);

static const mp_rom_obj_tuple_t nobody = {
    { &mp_type_tuple }, 2, { MP_ROM_NONE, MP_ROM_NONE }
};

static mp_obj_t radio_irecv(mp_obj_t self, mp_obj_t timeout) {
    radio_t *radio = MP_OBJ_TO_PTR(self);
    size_t count;
    mp_obj_t *items;
    mp_obj_list_get(radio->given, &count, &items);
    if (radio->at == count) {
        radio->misses++;
        return MP_OBJ_FROM_PTR(&nobody);
    }
    radio->receives++;
    return items[radio->at++];
}
static MP_DEFINE_CONST_FUN_OBJ_2(radio_irecv_obj, radio_irecv);

// send(mac, data, sync)
static mp_obj_t radio_send(size_t n_args, const mp_obj_t *args) {
    radio_t *radio = MP_OBJ_TO_PTR(args[0]);
    mp_buffer_info_t from, to;
    mp_get_buffer_raise(args[2], &from, MP_BUFFER_READ);
    mp_get_buffer_raise(radio->sent, &to, MP_BUFFER_WRITE);
    if (from.len > to.len - radio->sent_size) {
        mp_raise_ValueError(MP_ERROR_TEXT("the radio is full"));
    }
    memcpy((char *)to.buf + radio->sent_size, from.buf, from.len);
    radio->sent_size += from.len;
    radio->sends++;
    return mp_const_true;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(radio_send_obj, 4, 4, radio_send);

// add_peer(mac) and del_peer(mac): any station may be sent to.
static mp_obj_t radio_peer(mp_obj_t self, mp_obj_t mac) {
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(radio_peer_obj, radio_peer);

// calls(): since the last feed, how often was sent, received and nothing received, and bytes sent.
static mp_obj_t radio_calls(mp_obj_t self) {
    radio_t *radio = MP_OBJ_TO_PTR(self);
    mp_obj_t counts[] = {
        MP_OBJ_NEW_SMALL_INT(radio->sends), MP_OBJ_NEW_SMALL_INT(radio->receives),
        MP_OBJ_NEW_SMALL_INT(radio->misses), MP_OBJ_NEW_SMALL_INT(radio->sent_size),
    };
    return mp_obj_new_tuple(MP_ARRAY_SIZE(counts), counts);
}
static MP_DEFINE_CONST_FUN_OBJ_1(radio_calls_obj, radio_calls);

static const mp_rom_map_elem_t radio_table[] = {
    { MP_ROM_QSTR(MP_QSTR_feed), MP_ROM_PTR(&radio_feed_obj) },
    { MP_ROM_QSTR(MP_QSTR_irecv), MP_ROM_PTR(&radio_irecv_obj) },
    { MP_ROM_QSTR(MP_QSTR_send), MP_ROM_PTR(&radio_send_obj) },
    { MP_ROM_QSTR(MP_QSTR_add_peer), MP_ROM_PTR(&radio_peer_obj) },
    { MP_ROM_QSTR(MP_QSTR_del_peer), MP_ROM_PTR(&radio_peer_obj) },
    { MP_ROM_QSTR(MP_QSTR_calls), MP_ROM_PTR(&radio_calls_obj) },
};
static MP_DEFINE_CONST_DICT(radio_dict, radio_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    radio_type, MP_QSTR_Radio, MP_TYPE_FLAG_NONE, make_new, radio_new, locals_dict, &radio_dict);

static const mp_rom_map_elem_t counter_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_counter) },
    { MP_ROM_QSTR(MP_QSTR_instructions), MP_ROM_PTR(&instructions_obj) },
    { MP_ROM_QSTR(MP_QSTR_Line), MP_ROM_PTR(&line_type) },
    { MP_ROM_QSTR(MP_QSTR_Radio), MP_ROM_PTR(&radio_type) },
};
static MP_DEFINE_CONST_DICT(counter_globals, counter_table);

const mp_obj_module_t counter_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&counter_globals,
};
MP_REGISTER_MODULE(MP_QSTR_counter, counter_module);
