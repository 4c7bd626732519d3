"""Encodings of the Xtensa instructions that kernels use, as the manuals draw them.

A line has a mnemonic, its operands, and the instruction word from the highest bit to the lowest;
a long word stands on a line of its own. 0 and 1 are themselves, `name[high:low]` are those bits of
an operand, and an operand alone is all of its bits. Operands:

| name | bits | what |
| --- | --- | --- |
| ar as at | 4 | an address register |
| qa qb qu qx qy | 3 | a vector register of PIE |
| mw | 2 | a register of MAC16: m0 to m3 |
| mx my | 1 | m0 or m1; m2 or m3 |
| sr ur | 8 | the number of a special or user register |
| to=KIND | | a place in the code, as its distance from 4 bytes behind the instruction |
| word=KIND | | one in words, from the word behind that of the instruction |
| NAME=KIND | those of the kind | a number: see xtensa_encoding.KINDS |

Sources: Cadence, "Xtensa Instruction Set Architecture (ISA) Reference Manual", chapters 6 and 7
(BASE, DENSITY, MAC16); Espressif, "ESP32-S3 Technical Reference Manual", section 1.8 (PIE).
Tests disassemble every line with disassemblers that others wrote.
"""

from __future__ import annotations

BASE = """
add      ar,as,at         1000 0000 ar as at 0000
addx2    ar,as,at         1001 0000 ar as at 0000
addx4    ar,as,at         1010 0000 ar as at 0000
sub      ar,as,at         1100 0000 ar as at 0000
and      ar,as,at         0001 0000 ar as at 0000
or       ar,as,at         0010 0000 ar as at 0000
xor      ar,as,at         0011 0000 ar as at 0000
neg      ar,at            0110 0000 ar 0000 at 0000
abs      ar,at            0110 0000 ar 0001 at 0000
min      ar,as,at         0100 0011 ar as at 0000
max      ar,as,at         0101 0011 ar as at 0000
minu     ar,as,at         0110 0011 ar as at 0000
moveqz   ar,as,at         1000 0011 ar as at 0000
movnez   ar,as,at         1001 0011 ar as at 0000
movltz   ar,as,at         1010 0011 ar as at 0000
movgez   ar,as,at         1011 0011 ar as at 0000
mull     ar,as,at         1000 0010 ar as at 0000
mulsh    ar,as,at         1011 0010 ar as at 0000
quou     ar,as,at         1100 0010 ar as at 0000
nsau     at,as            0100 0000 1111 as at 0000
slli     ar,as,n=left     000 n[4] 0001 ar as n[3:0] 0000
srli     ar,at,n=u4       0100 0001 ar n at 0000
srai     ar,at,n=u5       001 n[4] 0001 ar n[3:0] at 0000
src      ar,as,at         1000 0001 ar as at 0000
srl      ar,at            1001 0001 ar 0000 at 0000
sll      ar,as            1010 0001 ar as 0000 0000
sra      ar,at            1011 0001 ar 0000 at 0000
ssr      as               0100 0000 0000 as 0000 0000
ssl      as               0100 0000 0001 as 0000 0000
ssai     n=u5             0100 0000 0100 n[3:0] 000 n[4] 0000
extui    ar,at,n=u5,w=width  w 010 n[4] ar n[3:0] at 0000
l8ui     at,as,n=u8       n 0000 as at 0010
l16ui    at,as,n=u8x2     n 0001 as at 0010
l16si    at,as,n=u8x2     n 1001 as at 0010
l32i     at,as,n=u8x4     n 0010 as at 0010
s8i      at,as,n=u8       n 0100 as at 0010
s16i     at,as,n=u8x2     n 0101 as at 0010
s32i     at,as,n=u8x4     n 0110 as at 0010
addi     at,as,n=s8       n 1100 as at 0010
addmi    at,as,n=s8x256   n 1101 as at 0010
movi     at,n=s12         n[7:0] 1010 n[11:8] at 0010
entry    as,n=u12x8       n as 0011 0110
retw                      0000 0000 0000 0000 1001 0000
call0    word=s18         word 00 0101
call8    word=s18         word 10 0101
callx8   as               0000 0000 0000 as 1110 0000
nop                       0000 0000 0010 0000 1111 0000
j        to=s18           to 00 0110
beqz     as,to=s12       to as 0001 0110
bnez     as,to=s12       to as 0101 0110
bltz     as,to=s12       to as 1001 0110
bgez     as,to=s12       to as 1101 0110
beq      as,at,to=s8      to 0001 as at 0111
blt      as,at,to=s8      to 0010 as at 0111
bltu     as,at,to=s8      to 0011 as at 0111
bne      as,at,to=s8      to 1001 as at 0111
bge      as,at,to=s8      to 1010 as at 0111
bgeu     as,at,to=s8      to 1011 as at 0111
loopgtz  as,to=u8         to 1010 as 0111 0110
rsr      at,sr            0000 0011 sr at 0000
rur      ar,ur            1110 0011 ar ur 0000
"""

DENSITY = """
l32i.n   at,as,n=u4x4     n as at 1000
s32i.n   at,as,n=u4x4     n as at 1001
add.n    ar,as,at         ar as at 1010
addi.n   ar,as,n=add4     ar as n 1011
mov.n    at,as            0000 as at 1101
movi.n   as,n=mov7        n[3:0] as 0 n[6:4] 1100
ret.n                     1111 0000 0000 1101
retw.n                    1111 0000 0001 1101
"""

MAC16 = """
ldinc              mw,as        1000 0000 00 mw as 0000 0100
mula.da.ll         mx,at        0110 1000 0 mx 00 0000 at 0100
mula.da.hl         mx,at        0110 1001 0 mx 00 0000 at 0100
mula.da.hh         mx,at        0110 1011 0 mx 00 0000 at 0100
mula.ad.ll         as,my        0011 1000 0000 as 0 my 00 0100
mula.ad.lh         as,my        0011 1010 0000 as 0 my 00 0100
mula.ad.hh         as,my        0011 1011 0000 as 0 my 00 0100
mul.aa.ll          as,at        0111 0100 0000 as at 0100
mula.dd.ll         mx,my        0010 1000 0 mx 00 0000 0 my 00 0100
mula.dd.hh         mx,my        0010 1011 0 mx 00 0000 0 my 00 0100
mula.da.hl.ldinc   mw,as,mx,at  0100 1001 0 mx mw as at 0100
mula.da.hh.ldinc   mw,as,mx,at  0100 1011 0 mx mw as at 0100
mula.dd.ll.ldinc   mw,as,mx,my  0000 1000 0 mx mw as 0 my 00 0100
mula.dd.hh.ldinc   mw,as,mx,my  0000 1011 0 mx mw as 0 my 00 0100
"""

PIE = """
ee.vld.128.ip       qu,as,n=s8x16   1 n[7] qu[2:1] 0011 qu[0] n[6:0] as 0100
ee.vld.l.64.ip      qu,as,n=s8x8    1 n[7] qu[2:1] 1001 qu[0] n[6:0] as 0100
ee.vst.128.ip       qu,as,n=s8x16   1 n[7] qu[2:1] 1010 qu[0] n[6:0] as 0100
ee.vldbc.8          qu,as           11 qu[2:1] 1101 qu[0] 011 1011 as 0100
ee.vldbc.16         qu,as           11 qu[2:1] 1101 qu[0] 111 0011 as 0100
ee.vldbc.16.ip      qu,as,n=u7x2    10 qu[2:1] 0101 qu[0] n as 0100
ee.andq             qa,qx,qy        11 qa[2:1] 1101 qa[0] 011 qy[2:1] 00 qx[2:1] qy[0] qx[0] 0100
ee.xorq             qa,qx,qy        11 qa[2:1] 1101 qa[0] 011 qy[2:1] 01 qx[2:1] qy[0] qx[0] 0100
ee.orq              qa,qx,qy        11 qa[2:1] 1101 qa[0] 111 qy[2:1] 00 qx[2:1] qy[0] qx[0] 0100
ee.vsr.32           qa,qx           11 qx[2:1] 1101 qx[0] 0111 1111 qa 0100
ee.zero.q           qa              11 qa[2:1] 1101 qa[0] 111 1111 1010 0100
ee.vunzip.8         qa,qb           11 qb[2:1] 1100 qb[0] qa 0011 1010 0100
ee.vunzip.16        qa,qb           11 qb[2:1] 1100 qb[0] qa 0011 1000 0100
ee.vzip.8           qa,qb           11 qb[2:1] 1100 qb[0] qa 0011 1101 0100
ee.zero.accx                        0010 0101 0000 1000 0000 0100
ee.zero.qacc                        0010 0101 0000 1000 0100 0100
ee.vmulas.u8.accx   qx,qy           0000 1010 0 qy[2] 0 qy[1:0] qx 1100 0100
ee.vmulas.s16.accx  qx,qy           0001 1010 0 qy[2] 0 qy[1:0] qx 1000 0100
ee.vmulas.s16.qacc  qx,qy           0001 1010 0 qy[2] 1 qy[1:0] qx 1000 0100
ee.vmulas.s16.qacc.ldbc.incp qu,as,qx,qy 100 qu[2] 0111 qu[1] qy[2] qu[0] qy[1:0] qx as 0100
ee.vmulas.u8.accx.ld.ip  qu,as,n=s6x16,qx,qy
    1111 n[5:4] qu[2:1] qy[0] 000 qu[0] 110 qx[1:0] qy[2:1] n[3:0] as 111 qx[2]
ee.vmulas.s16.accx.ld.ip qu,as,n=s6x16,qx,qy
    1111 n[5:4] qu[2:1] qy[0] 000 qu[0] 000 qx[1:0] qy[2:1] n[3:0] as 111 qx[2]
"""
