// Package fixed has the numbers in which the chain reckons performance and pay: unsigned, 64 bits before the point and 64 behind it.
//
// Purpose: U64F64 with the rounding of the Rust crates that the original computes with: products and quotients are cut off, text is
// rounded to the nearest number, and a root has 32 bits behind the point. So the same input gives the same bits.
//
// Lifecycle: numbers are values; the zero value is 0.
//
// Concurrency: numbers are values.
//
// Failure: Add, Sub, Mul and Div say whether there is a result. Plus, Minus, Times and Over stay within the range: they return the
// largest number, or 0, where there is none. Parse returns caller.invalid_request.
//
// Limits: text has at most 20 digits before the point and 40 behind it.
package fixed
