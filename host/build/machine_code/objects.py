"""Where MicroPython's objects have what a kernel's wrapper needs of them, in bytes.

The same in 1.23 to 1.29 on all 32-bit processors: py/objfun.h, py/bc.h, py/objarray.h,
py/nativeglue.c.
"""

from __future__ import annotations

CORE_OFFSET = 4  # of a kernel's core behind its code's begin, by which programs call it

# mp_obj_fun_bc_t: type, context. mp_module_context_t: type, globals, names, objects. The context
# begins with the module's own object.
FUN_CONTEXT, CONTEXT_NAMES, CONTEXT_OBJECTS = 4, 8, 12
LOAD_ATTR = 9  # its place in mp_fun_table
# mp_obj_array_t, of bytearray, array and memoryview: type; typecode u8 and, above it, 24 bits
# that of a memoryview are the item at which it begins; length; items.
ARRAY_TYPECODE, ARRAY_ITEMS = 4, 12
VIEW_BIT = 7  # of a typecode: a memoryview that can be written to
