package wasm

// The tables of instructions. Letters of the signatures: i, I, f, F are i32, i64, f32, f64, v is v128; the rightmost operand is
// on top of the stack.

const plainTable = `
00 special : unreachable
01 plain   : nop
02 control : block loop if else
06 foreign : try catch
08 control+exn : throw
09 foreign : rethrow
0a control+exn : throw_ref
0b special : end
0c control : br br_if br_table return
10 special : call call_indirect
12 control+tail : return_call return_call_indirect
14 foreign : call_ref return_call_ref
18 foreign : delegate catch_all
1a special : drop select
1c special+ref : select
1f control+exn : try_table
20 local   : local.get local.set local.tee
23 special : global.get global.set
25 special+ref : table.get table.set
28 mem/2 i:i i32.load
29 mem/3 i:I i64.load
2a mem/2 i:f f32.load
2b mem/3 i:F f64.load
2c mem/0 i:i i32.load8_s i32.load8_u
2e mem/1 i:i i32.load16_s i32.load16_u
30 mem/0 i:I i64.load8_s i64.load8_u
32 mem/1 i:I i64.load16_s i64.load16_u
34 mem/2 i:I i64.load32_s i64.load32_u
36 mem/2 ii: i32.store
37 mem/3 iI: i64.store
38 mem/2 if: f32.store
39 mem/3 iF: f64.store
3a mem/0 ii: i32.store8
3b mem/1 ii: i32.store16
3c mem/0 iI: i64.store8
3d mem/1 iI: i64.store16
3e mem/2 iI: i64.store32
3f special :i memory.size
40 special i:i memory.grow
41 s32 :i i32.const
42 s64 :I i64.const
43 b4 :f f32.const
44 b8 :F f64.const
45 plain i:i i32.eqz
46 plain ii:i i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u
50 plain I:i i64.eqz
51 plain II:i i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u
5b plain ff:i f32.eq f32.ne f32.lt f32.gt f32.le f32.ge
61 plain FF:i f64.eq f64.ne f64.lt f64.gt f64.le f64.ge
67 plain i:i i32.clz i32.ctz i32.popcnt
6a plain ii:i i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr
79 plain I:I i64.clz i64.ctz i64.popcnt
7c plain II:I i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr
8b plain f:f f32.abs f32.neg
8d plain*f f:f f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt
92 plain*f ff:f f32.add f32.sub f32.mul f32.div f32.min f32.max
98 plain ff:f f32.copysign
99 plain F:F f64.abs f64.neg
9b plain*F F:F f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt
a0 plain*F FF:F f64.add f64.sub f64.mul f64.div f64.min f64.max
a6 plain FF:F f64.copysign
a7 plain I:i i32.wrap_i64
a8 plain f:i i32.trunc_f32_s i32.trunc_f32_u
aa plain F:i i32.trunc_f64_s i32.trunc_f64_u
ac plain i:I i64.extend_i32_s i64.extend_i32_u
ae plain f:I i64.trunc_f32_s i64.trunc_f32_u
b0 plain F:I i64.trunc_f64_s i64.trunc_f64_u
b2 plain i:f f32.convert_i32_s f32.convert_i32_u
b4 plain I:f f32.convert_i64_s f32.convert_i64_u
b6 plain*f F:f f32.demote_f64
b7 plain i:F f64.convert_i32_s f64.convert_i32_u
b9 plain I:F f64.convert_i64_s f64.convert_i64_u
bb plain*F f:F f64.promote_f32
bc plain f:i i32.reinterpret_f32
bd plain F:I i64.reinterpret_f64
be plain i:f f32.reinterpret_i32
bf plain I:F f64.reinterpret_i64
c0 plain+sign i:i i32.extend8_s i32.extend16_s
c2 plain+sign I:I i64.extend8_s i64.extend16_s i64.extend32_s
d0 special+ref : ref.null ref.is_null ref.func
d3 foreign : ref.eq ref.as_non_null br_on_null br_on_non_null
fb foreign : gc
fc special : misc
fd special+simd : vector
fe foreign : atomic
`

const miscTable = `
00 plain+sat f:i i32.trunc_sat_f32_s i32.trunc_sat_f32_u
02 plain+sat F:i i32.trunc_sat_f64_s i32.trunc_sat_f64_u
04 plain+sat f:I i64.trunc_sat_f32_s i64.trunc_sat_f32_u
06 plain+sat F:I i64.trunc_sat_f64_s i64.trunc_sat_f64_u
08 special+bulk iii: memory.init
09 special+bulk : data.drop
0a special+bulk iii: memory.copy memory.fill
0c special+bulk iii: table.init
0d special+bulk : elem.drop
0e special+bulk iii: table.copy
0f special+ref : table.grow table.size table.fill
`

const vectorTable = `
00 mem/4 i:v v128.load
01 mem/3 i:v v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u v128.load32x2_s v128.load32x2_u
07 mem/0 i:v v128.load8_splat
08 mem/1 i:v v128.load16_splat
09 mem/2 i:v v128.load32_splat
0a mem/3 i:v v128.load64_splat
0b mem/4 iv: v128.store
0c b16 :v v128.const
0d shuffle vv:v i8x16.shuffle
0e plain vv:v i8x16.swizzle
0f plain i:v i8x16.splat i16x8.splat i32x4.splat
12 plain I:v i64x2.splat
13 plain f:v f32x4.splat
14 plain F:v f64x2.splat
15 lane/16 v:i i8x16.extract_lane_s i8x16.extract_lane_u
17 lane/16 vi:v i8x16.replace_lane
18 lane/8 v:i i16x8.extract_lane_s i16x8.extract_lane_u
1a lane/8 vi:v i16x8.replace_lane
1b lane/4 v:i i32x4.extract_lane
1c lane/4 vi:v i32x4.replace_lane
1d lane/2 v:I i64x2.extract_lane
1e lane/2 vI:v i64x2.replace_lane
1f lane/4 v:f f32x4.extract_lane
20 lane/4 vf:v f32x4.replace_lane
21 lane/2 v:F f64x2.extract_lane
22 lane/2 vF:v f64x2.replace_lane
23 plain vv:v i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u i8x16.ge_s i8x16.ge_u
2d plain vv:v i16x8.eq i16x8.ne i16x8.lt_s i16x8.lt_u i16x8.gt_s i16x8.gt_u i16x8.le_s i16x8.le_u i16x8.ge_s i16x8.ge_u
37 plain vv:v i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u i32x4.ge_s i32x4.ge_u
41 plain vv:v f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge
47 plain vv:v f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge
4d plain v:v v128.not
4e plain vv:v v128.and v128.andnot v128.or v128.xor
52 plain vvv:v v128.bitselect
53 plain v:i v128.any_true
54 memlane/0 iv:v v128.load8_lane
55 memlane/1 iv:v v128.load16_lane
56 memlane/2 iv:v v128.load32_lane
57 memlane/3 iv:v v128.load64_lane
58 memlane/0 iv: v128.store8_lane
59 memlane/1 iv: v128.store16_lane
5a memlane/2 iv: v128.store32_lane
5b memlane/3 iv: v128.store64_lane
5c mem/2 i:v v128.load32_zero
5d mem/3 i:v v128.load64_zero
5e plain*x4 v:v f32x4.demote_f64x2_zero
5f plain*x2 v:v f64x2.promote_low_f32x4
60 plain v:v i8x16.abs i8x16.neg i8x16.popcnt
63 plain v:i i8x16.all_true i8x16.bitmask
65 plain vv:v i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u
67 plain*x4 v:v f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest
6b plain vi:v i8x16.shl i8x16.shr_s i8x16.shr_u
6e plain vv:v i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s i8x16.sub_sat_u
74 plain*x2 v:v f64x2.ceil f64x2.floor
76 plain vv:v i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u
7a plain*x2 v:v f64x2.trunc
7b plain vv:v i8x16.avgr_u
7c plain v:v i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u
80 plain v:v i16x8.abs i16x8.neg
82 plain vv:v i16x8.q15mulr_sat_s
83 plain v:i i16x8.all_true i16x8.bitmask
85 plain vv:v i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u
87 plain v:v i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u i16x8.extend_high_i8x16_u
8b plain vi:v i16x8.shl i16x8.shr_s i16x8.shr_u
8e plain vv:v i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s i16x8.sub_sat_u
94 plain*x2 v:v f64x2.nearest
95 plain vv:v i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u
9c plain vv:v i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u i16x8.extmul_high_i8x16_u
a0 plain v:v i32x4.abs i32x4.neg
a3 plain v:i i32x4.all_true i32x4.bitmask
a7 plain v:v i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u
ab plain vi:v i32x4.shl i32x4.shr_s i32x4.shr_u
ae plain vv:v i32x4.add - - i32x4.sub - - - i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u i32x4.dot_i16x8_s
bc plain vv:v i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u
c0 plain v:v i64x2.abs i64x2.neg
c3 plain v:i i64x2.all_true i64x2.bitmask
c7 plain v:v i64x2.extend_low_i32x4_s i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u
cb plain vi:v i64x2.shl i64x2.shr_s i64x2.shr_u
ce plain vv:v i64x2.add - - i64x2.sub - - - i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s
dc plain vv:v i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u i64x2.extmul_high_i32x4_u
e0 plain v:v f32x4.abs f32x4.neg
e3 plain*x4 v:v f32x4.sqrt
e4 plain*x4 vv:v f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max
ea plain vv:v f32x4.pmin f32x4.pmax
ec plain v:v f64x2.abs f64x2.neg
ef plain*x2 v:v f64x2.sqrt
f0 plain*x2 vv:v f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max
f6 plain vv:v f64x2.pmin f64x2.pmax
f8 plain v:v i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u
`
