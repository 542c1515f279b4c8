// Package kernel computes the numeric steps of a decoder on the processor, with
// bits that depend on the numbers alone.
//
// Every function gives the same bits at every [Level], on every platform, for
// any number of threads and any number of rows computed together: a token does
// not change when the cluster that computes it does. What that takes:
//
//   - A dot product has 32 lanes. Element k goes to lane k mod 32 by a float32
//     fused multiply-add (one rounding), k ascending, from +0; a length that is
//     no multiple of 32 is padded with zeros. The lanes are folded in halves:
//     lane i takes lane i+16, then i+8, i+4, i+2, i+1.
//   - An element of a result depends on its own row and its own token. How rows
//     and tokens are grouped decides the speed and nothing else.
//   - The exponential is a polynomial of this package, and sums over tokens have
//     a fixed order.
//
// The pure-Go functions define the result: they run where no assembly does, and
// the tests hold the assembly to them. NaN comes out where they give NaN; its
// sign and payload are not defined.
//
// Lengths are the caller's promise. A slice that is too short panics as an index
// out of range does.
package kernel
