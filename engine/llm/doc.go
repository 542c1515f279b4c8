// Package llm computes a decoder's forward pass on a part of it, so that the
// tokens do not depend on which parts there are.
//
// A [Shard] has layers x leaves of a model: a stage of a pipeline takes a range
// of layers, a rank of tensor parallelism an aligned range of leaves (a power of
// two of them, from a multiple of it). A step runs a batch, prefill chunks and
// single tokens mixed, through Embed on the first stage, Forward on every stage,
// and Next on the last; between them goes [rows][hidden] in float32, a row for
// each token of the batch in its order. The ranks of a stage take the same steps in
// the same order, each with its [Comm].
//
// # Exactness
//
// Logits have the same bits for every cut, batch, chunk of a prompt, number of
// threads and level of instructions (package kernel says how its part holds):
//
//   - What a token's row becomes depends on that token, its position and the KV
//     cache of its sequence, never on its neighbours in the batch.
//   - Projections that sum over heads or over the feed-forward block (Output and
//     Down) are computed leaf by leaf, and the leaves' results are added by the
//     fixed binary tree over leaf numbers, ((0+1)+(2+3))+.... A rank owns an
//     aligned subtree; Comm.Sum adds the upper levels.
//   - Embedding and head are cut by vocabulary: no sum crosses leaves. Rows that
//     a rank does not have are filled with -0, and x + -0 is x.
//   - Every rank normalises the whole width.
//   - Tables of rotary positions are computed by arithmetic that is the same on
//     every platform (rope.go).
//   - Greedy takes the lowest of equal tokens; sampling draws by (seed, position),
//     see [Sampling].
//
// So recomputing a sequence equals moving its KV cache, and a step that failed is
// simply repeated.
//
// # Errors
//
// [ErrInput] says that a batch can never be computed, kv.ErrFull that there is no
// room now, kv.ErrGap that positions before a sequence's tokens are missing here.
// They come before anything is computed or sent. After any error, also of a Comm,
// the shard can be used on; positions that it wrote are right.
package llm
