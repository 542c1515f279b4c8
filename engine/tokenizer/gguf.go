package tokenizer

import (
	"fmt"

	"github.com/spotserve/spotserve/engine/gguf"
)

// FromGGUF reads the tokenizer in the metadata of a GGUF file: the models "llama"
// (SentencePiece BPE) and "gpt2" (byte-level BPE) with the ways of splitting text
// into words that are listed in wordsOf.
func FromGGUF(f *gguf.File) (*Tokenizer, error) {
	model, ok, err := gguf.Get[string](f, "tokenizer.ggml.model")
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, fmt.Errorf("%w: key %q is missing", ErrNone, "tokenizer.ggml.model")
	}
	v, err := ggufVocabulary(f)
	if err != nil {
		return nil, err
	}
	var t *Tokenizer
	begins := false
	switch model {
	case "llama":
		begins = true
		t, err = ggufScored(f, v)
	case "gpt2":
		t, begins, err = ggufByteLevel(f, v)
	default:
		err = fmt.Errorf("tokenizer.ggml.model is %s; supported are \"llama\" and \"gpt2\"", quote(model))
	}
	if err != nil {
		return nil, err
	}
	if t.begin, err = ggufEnds(f, t, "bos", begins); err != nil {
		return nil, err
	}
	t.end, err = ggufEnds(f, t, "eos", false)
	return t, err
}

func ggufVocabulary(f *gguf.File) (*vocabulary, error) {
	pieces, ok, err := gguf.Get[[]string](f, "tokenizer.ggml.tokens")
	if err == nil && !ok {
		err = fmt.Errorf("key %q is missing", "tokenizer.ggml.tokens")
	}
	if err != nil {
		return nil, err
	}
	types, ok, err := gguf.Get[[]int64](f, "tokenizer.ggml.token_type")
	if err != nil {
		return nil, err
	}
	if ok && len(types) != len(pieces) {
		return nil, fmt.Errorf("tokenizer.ggml.token_type has %d entries, tokenizer.ggml.tokens %d", len(types), len(pieces))
	}
	v := &vocabulary{pieces: pieces, kinds: make([]kind, len(pieces))}
	for i := range pieces {
		v.kinds[i] = normal
		if ok {
			if types[i] < int64(normal) || types[i] > int64(byteToken) {
				return nil, fmt.Errorf("tokenizer.ggml.token_type: token %d is of type %d, must be %d to %d", i, types[i], normal, byteToken)
			}
			v.kinds[i] = kind(types[i])
		}
	}
	return v, nil
}

func ggufScored(f *gguf.File, v *vocabulary) (*Tokenizer, error) {
	wide, _, err := gguf.Get[[]float64](f, "tokenizer.ggml.scores")
	if err != nil {
		return nil, err
	}
	scores := make([]float32, len(wide))
	for i := range wide {
		scores[i] = float32(wide[i])
	}
	prefix := prefixAlways
	if put, ok, err := gguf.Get[bool](f, "tokenizer.ggml.add_space_prefix"); err != nil {
		return nil, err
	} else if ok && !put {
		prefix = noPrefix
	}
	t, err := newScored(v, scores, prefix)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.ggml: %w", err)
	}
	return t, nil
}

// wordsOf says what a name of tokenizer.ggml.pre means. With Llama 3's, sequences
// begin with a token unless the file says otherwise.
var wordsOf = map[string]words{
	"gpt-2":     {split: splitGPT2},
	"llama3":    {split: splitLlama3, whole: true},
	"llama-v3":  {split: splitLlama3, whole: true},
	"llama-bpe": {split: splitLlama3, whole: true},
	"qwen2":     {split: splitQwen2},
	"smollm":    {split: splitGPT2, digits: true},
}

func ggufByteLevel(f *gguf.File, v *vocabulary) (*Tokenizer, bool, error) {
	pre, _, err := gguf.Get[string](f, "tokenizer.ggml.pre")
	if err != nil {
		return nil, false, err
	}
	w, ok := wordsOf[pre]
	if !ok {
		return nil, false, fmt.Errorf("tokenizer.ggml.pre is %s; supported are gpt-2, llama-bpe, llama3, llama-v3, qwen2 and smollm", quote(pre))
	}
	lines, _, err := gguf.Get[[]string](f, "tokenizer.ggml.merges")
	if err != nil {
		return nil, false, err
	}
	merges := make([][2]string, len(lines))
	for i, line := range lines {
		if merges[i], err = parseMerge(line); err != nil {
			return nil, false, fmt.Errorf("tokenizer.ggml.merges: %w", err)
		}
	}
	t, err := newByteLevel(v, merges, w)
	if err != nil {
		return nil, false, fmt.Errorf("tokenizer.ggml: %w", err)
	}
	return t, w.whole, nil
}

// ggufEnds is the token that a sequence begins or ends with, if it does; otherwise
// says that for files that do not. SentencePiece's own id of <s> is 1.
func ggufEnds(f *gguf.File, t *Tokenizer, name string, otherwise bool) ([]int32, error) {
	put, said, err := gguf.Get[bool](f, "tokenizer.ggml.add_"+name+"_token")
	if err != nil {
		return nil, err
	}
	if !said {
		put = otherwise
	}
	key := "tokenizer.ggml." + name + "_token_id"
	id, ok, err := gguf.Get[int64](f, key)
	if _, scores := t.model.(*scored); !ok && scores && name == "bos" {
		id, ok = 1, true
	}
	switch {
	case err != nil || !put:
		return nil, err
	case !ok && !said:
		return nil, nil
	case !ok:
		return nil, fmt.Errorf("sequences have a %s token, and key %q is missing", name, key)
	case id < 0 || id >= int64(t.Vocabulary()):
		return nil, fmt.Errorf("%s is %d, of %d tokens", key, id, t.Vocabulary())
	}
	return []int32{int32(id)}, nil
}
