package tokenizer_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spotserve/spotserve/engine/gguf"
	"github.com/spotserve/spotserve/engine/tokenizer"
)

// FuzzTokenizer: every text has tokens. Byte-level ones give back exactly the text;
// SentencePiece ones too, but for marks that were written as such.
func FuzzTokenizer(f *testing.F) {
	all := map[string]*tokenizer.Tokenizer{}
	for _, name := range []string{"llama3", "gpt2", "qwen2", "smollm", "llama2", "metaspace", "unigram"} {
		all[name] = readJSON(f, name)
	}
	scored, err := fromGGUF(f, ggufBytes(f, readVocabulary(f, "sentencepiece").entries(f, "")))
	if err != nil {
		f.Fatal(err)
	}
	all["sentencepiece"] = scored
	for _, g := range readGolden(f, "golden.json")["llama3"] {
		f.Add(g.Text)
	}
	f.Add("\xff\xfe a\xc3 \xe2\x82")
	f.Fuzz(func(t *testing.T, text string) {
		for name, k := range all {
			ids := k.Encode(text, tokenizer.Options{})
			for _, id := range ids {
				if id < 0 || int(id) >= k.Vocabulary() {
					t.Fatalf("%s: %q has token %d, of %d", name, text, id, k.Vocabulary())
				}
			}
			want := text
			marks := name == "llama2" || name == "metaspace" || name == "unigram" || name == "sentencepiece"
			if marks {
				want = strings.ReplaceAll(text, "▁", " ")
			}
			// Metaspace puts a space in front only where none is, and takes one off.
			spaced := name == "metaspace" || name == "unigram"
			if got := k.Decode(ids); got != want && !(spaced && want == " "+got) {
				t.Fatalf("%s: %q comes back as %q", name, text, got)
			}
			checkStream(t, k, ids)
		}
	})
}

// TestSpecial: control tokens that are spelled out are text, unless they are asked
// for; user-defined ones are always found.
func TestSpecial(t *testing.T) {
	k := readJSON(t, "llama3")
	const text = "<|begin|>x<tool><|end|>"
	with := k.Encode(text, tokenizer.Options{Special: true})
	if len(with) != 4 || k.Decode(with) != "x<tool>" {
		t.Errorf("with special tokens %q becomes %v, %q", text, with, k.Decode(with))
	}
	without := k.Encode(text, tokenizer.Options{})
	if k.Decode(without) != text || !slices.Contains(without, with[2]) || slices.Contains(without, with[0]) || slices.Contains(without, with[3]) {
		t.Errorf("without special tokens %q becomes %v, %q", text, without, k.Decode(without))
	}
	prompt, err := tokenizer.Prompts{Tokenizer: k}.Encode("x<|end|>")
	if err != nil || !slices.Equal(prompt, []int32{with[0], with[1], with[3]}) {
		t.Errorf("a prompt becomes %v, %v", prompt, err)
	}
	if got := k.Decode([]int32{-1, math.MaxInt32, with[1]}); got != "x" {
		t.Errorf("ids that are no tokens become %q", got)
	}
}

// TestStreamWaits: a character comes with its last byte; what can become none comes
// at once.
func TestStreamWaits(t *testing.T) {
	k := readJSON(t, "gpt2")
	single := func(s string) []int32 {
		var out []int32
		for i := range len(s) {
			out = append(out, k.Encode(s[i:i+1], tokenizer.Options{})...)
		}
		return out
	}
	for text, want := range map[string][]string{
		"aé":           {"a", "", "é"},
		"€":            {"", "", "€"},
		"😀b":           {"", "", "", "😀", "b"},
		"\xffa":        {"\xff", "a"},
		"\xc3a":        {"", "\xc3a"},
		"\x80\x80":     {"\x80", "\x80"},
		"\xe2\x82":     {"", ""},
		"\xf0\x9f\x98": {"", "", ""},
	} {
		var got []string
		d := k.Stream()
		for _, id := range single(text) {
			got = append(got, d.Next(id))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q comes as %q, want %q", text, got, want)
		}
		if rest := d.Rest(); strings.Join(got, "")+rest != text || d.Rest() != "" {
			t.Errorf("%q: the rest is %q", text, rest)
		}
	}
}

// TestRefusesJSON: pipelines that are not computed alike, and broken files.
func TestRefusesJSON(t *testing.T) {
	set := func(path string, value any) func(map[string]any) {
		return func(v map[string]any) {
			keys := strings.Split(path, ".")
			for _, key := range keys[:len(keys)-1] {
				v = v[key].(map[string]any)
			}
			v[keys[len(keys)-1]] = value
		}
	}
	split := func(regex, behavior string) map[string]any {
		return map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": regex}, "behavior": behavior, "invert": false},
			map[string]any{"type": "ByteLevel", "use_regex": false},
		}}
	}
	added := func(token map[string]any) func(map[string]any) {
		return func(v map[string]any) { v["added_tokens"] = append(v["added_tokens"].([]any), token) }
	}
	for _, tt := range []struct {
		file, want string
		change     func(map[string]any)
	}{
		{"gpt2", `model: type "WordPiece"; supported are BPE and Unigram`, set("model.type", "WordPiece")},
		{"gpt2", `end_of_word_suffix are not supported`, set("model.end_of_word_suffix", "</w>")},
		{"gpt2", `normalizer: "NFC"; supported is none`, set("normalizer", map[string]any{"type": "NFC"})},
		{"gpt2", `the expression "\\w+" is not one of those`, set("pre_tokenizer", split(`\w+`, "Isolated"))},
		{"gpt2", `pre_tokenizer: "Split" with these settings`, set("pre_tokenizer", split(`\s+`, "Removed"))},
		{"gpt2", `decoder: "WordPiece"; supported is ByteLevel`, set("decoder", map[string]any{"type": "WordPiece"})},
		{"gpt2", `post_processor: "BertProcessing" is not supported`, set("post_processor", map[string]any{"type": "BertProcessing"})},
		{"gpt2", `not tokens for all 256 bytes`, func(v map[string]any) { delete(v["model"].(map[string]any)["vocab"].(map[string]any), "Ā") }},
		{"gpt2", `'字' spells no byte`, func(v map[string]any) {
			v["model"].(map[string]any)["vocab"].(map[string]any)["字"] = 2000
		}},
		{"gpt2", `both have id 5`, set("model.vocab.again", 5)},
		{"gpt2", `has id -1`, set("model.vocab.negative", -1)},
		{"gpt2", `has id 4000000000, of`, set("model.vocab.far", 4000000000)},
		{"gpt2", `merges: merge "abc": want two tokens`, set("model.merges", []any{"abc"})},
		{"gpt2", `merge 0, "zzz" and "a": these or what they make are no tokens`, set("model.merges", []any{"zzz a"})},
		{"llama3", `merges: merge "[\"a\"]" has 1 tokens, must have 2`, set("model.merges", []any{[]any{"a"}})},
		{"gpt2", `added_tokens: token 7000 is empty`, added(map[string]any{"id": 7000, "content": ""})},
		{"gpt2", `single_word is not supported`, added(map[string]any{"id": 7000, "content": "x", "single_word": true})},
		{"gpt2", `"x" has id 4000000, of`, added(map[string]any{"id": 4000000, "content": "x"})},
		{"gpt2", `both have id 3`, added(map[string]any{"id": 3, "content": "x"})},
		{"llama3", `special token "<|begin|>" has id 99999`, func(v map[string]any) {
			template := v["post_processor"].(map[string]any)["processors"].([]any)[1].(map[string]any)
			template["special_tokens"].(map[string]any)["<|begin|>"].(map[string]any)["ids"] = []any{99999}
		}},
		{"prefix", `add_prefix_space after Split or Digits`, func(v map[string]any) {
			v["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": []any{
				map[string]any{"type": "Digits", "individual_digits": true}, v["pre_tokenizer"],
			}}
		}},
		{"llama2", `BPE without byte_fallback and without ByteLevel`, set("model.byte_fallback", false)},
		{"llama2", `normalizer: "Lowercase" with these settings`, set("normalizer", map[string]any{"type": "Lowercase"})},
		{"llama2", `none replaces spaces by ▁`, set("normalizer", nil)},
		{"llama2", `decoder: "CTC" is not supported`, set("decoder", map[string]any{"type": "CTC"})},
		{"metaspace", `pre_tokenizer: "Metaspace" with these settings`, set("pre_tokenizer.split", true)},
		{"metaspace", `prepend_scheme "some"`, set("pre_tokenizer.prepend_scheme", "some")},
		{"unigram", `Unigram without byte_fallback`, set("model.byte_fallback", false)},
		{"unigram", `entry 0 is no pair of a text and a score`, set("model.vocab", []any{[]any{1, 2}})},
		{"unigram", `not tokens for all 256 bytes`, set("model.vocab", []any{[]any{"<unk>", 0}, []any{"<s>", 0}, []any{"</s>", 0}})},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", tt.file+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		tt.change(v)
		if text, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
		if _, err := tokenizer.ParseJSON(text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.file, err, tt.want)
		}
	}
	if _, err := tokenizer.ParseJSON([]byte(`{"model":`)); err == nil {
		t.Error("half a file is read")
	}
}

// TestRefusesGGUF changes one key each.
func TestRefusesGGUF(t *testing.T) {
	for _, tt := range []struct {
		pre, key string
		value    any
		want     string
	}{
		{"", "model", "bert", `tokenizer.ggml.model is "bert"; supported are "llama" and "gpt2"`},
		{"", "model", uint32(1), `is of type int64, want string`},
		{"", "scores", []float32{1}, `tokens and 1 scores`},
		{"", "token_type", []int32{1}, `tokenizer.ggml.token_type has 1 entries`},
		{"", "tokens", []float32{1}, `want []string`},
		{"", "bos_token_id", uint32(9999), `tokenizer.ggml.bos_token_id is 9999, of`},
		{"", "bos_token_id", "1", `is of type string, want int64`},
		{"", "add_space_prefix", "no", `is of type string, want bool`},
		{"gpt-2", "pre", "chatglm", `tokenizer.ggml.pre is "chatglm"; supported are gpt-2, llama-bpe`},
		{"gpt-2", "merges", []string{"a"}, `tokenizer.ggml.merges: merge "a": want two tokens`},
		{"gpt-2", "merges", []string{"字 a"}, `these or what they make are no tokens`},
	} {
		entries := readVocabulary(t, ggufs[tt.pre]).entries(t, tt.pre)
		key := "tokenizer.ggml." + tt.key
		entries = slices.DeleteFunc(entries, func(e gguf.Entry) bool { return e.Key == key })
		if _, err := fromGGUF(t, ggufBytes(t, append(entries, gguf.Entry{Key: key, Value: tt.value}))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", key, err, tt.want)
		}
	}
	without := func(pre string, more ...gguf.Entry) ([]int32, error) {
		entries := slices.DeleteFunc(readVocabulary(t, ggufs[pre]).entries(t, pre), func(e gguf.Entry) bool { return e.Key == "tokenizer.ggml.bos_token_id" })
		k, err := fromGGUF(t, ggufBytes(t, append(entries, more...)))
		if err != nil {
			return nil, err
		}
		return k.Encode("", tokenizer.Options{Begin: true}), nil
	}
	if begin, err := without(""); err != nil || !slices.Equal(begin, []int32{1}) {
		t.Errorf("SentencePiece without bos_token_id begins with %v, %v, want 1", begin, err)
	}
	if begin, err := without("llama-bpe"); err != nil || len(begin) != 0 {
		t.Errorf("Llama 3's without bos_token_id begins with %v, %v", begin, err)
	}
	_, err := without("gpt-2", gguf.Entry{Key: "tokenizer.ggml.add_bos_token", Value: true})
	if err == nil || !strings.Contains(err.Error(), `sequences have a bos token, and key "tokenizer.ggml.bos_token_id" is missing`) {
		t.Errorf("a token that is asked for and not there: got %v", err)
	}
	if _, err := fromGGUF(t, ggufBytes(t, nil)); !errors.Is(err, tokenizer.ErrNone) {
		t.Errorf("a file without a tokenizer: got %v", err)
	}
	types := readVocabulary(t, "sentencepiece")
	types.Types[9] = 7
	if _, err := fromGGUF(t, ggufBytes(t, types.entries(t, ""))); err == nil || !strings.Contains(err.Error(), "token 9 is of type 7, must be 1 to 6") {
		t.Errorf("a token of unknown type: got %v", err)
	}
}

// message appends protobuf fields: numbers of fields with their values.
func message(parts ...any) []byte {
	var out []byte
	for i := 0; i < len(parts); i += 2 {
		n := protowire.Number(parts[i].(int))
		switch v := parts[i+1].(type) {
		case string:
			out = protowire.AppendString(protowire.AppendTag(out, n, protowire.BytesType), v)
		case []byte:
			out = protowire.AppendBytes(protowire.AppendTag(out, n, protowire.BytesType), v)
		case float32:
			out = protowire.AppendFixed32(protowire.AppendTag(out, n, protowire.Fixed32Type), math.Float32bits(v))
		case int:
			out = protowire.AppendVarint(protowire.AppendTag(out, n, protowire.VarintType), uint64(v))
		}
	}
	return out
}

// sentencePieceModel is sentencepiece.json as a tokenizer.model.
func sentencePieceModel(t testing.TB, trainer, normalizer []byte) []byte {
	t.Helper()
	v := readVocabulary(t, "sentencepiece")
	var out []byte
	for i, piece := range v.Pieces {
		fields := []any{1, piece, 2, v.Scores[i]}
		if v.Types[i] != 1 {
			fields = append(fields, 3, int(v.Types[i]))
		}
		out = append(out, message(1, message(fields...))...)
	}
	return append(out, message(2, trainer, 3, normalizer)...)
}

// TestSentencePiece: the same vocabulary as a tokenizer.model and in GGUF gives the
// same tokens; as unigram, those of tokenizer.json.
func TestSentencePiece(t *testing.T) {
	model := sentencePieceModel(t, message(3, 2, 41, 1), message(1, "identity", 3, 1, 4, 0))
	k, err := tokenizer.ParseSentencePiece(model)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range readGolden(t, "llamacpp.json")["sentencepiece"] {
		if ids := k.Encode(g.Text, tokenizer.Options{Special: true}); !slices.Equal(ids, g.IDs) {
			t.Errorf("%q becomes %v, want %v", g.Text, ids, g.IDs)
		}
	}
	if ids := k.Encode("", tokenizer.Options{Begin: true}); !slices.Equal(ids, []int32{1}) {
		t.Errorf("a sequence begins with %v, want <s>", ids)
	}
	plain, err := tokenizer.ParseSentencePiece(sentencePieceModel(t, message(3, 1, 41, -1), message(3, 0, 4, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if ids := plain.Encode("the fox", tokenizer.Options{Begin: true}); plain.Decode(ids) != "the fox" || len(ids) == 0 {
		t.Errorf("without a prefix, \"the fox\" comes back as %q", plain.Decode(ids))
	}
	for want, data := range map[string][]byte{
		"is of kind 3; supported are 1 (unigram)": sentencePieceModel(t, message(3, 3), message(4, 0)),
		"normalises characters":                   sentencePieceModel(t, message(3, 2), message(2, "x", 4, 0)),
		"removes extra spaces":                    sentencePieceModel(t, message(3, 2), nil),
		"bos_id is 99999":                         sentencePieceModel(t, message(3, 2, 41, 99999), message(4, 0)),
		"is no SentencePiece model: it has no":    {},
		"is no SentencePiece model: ":             model[:len(model)-3],
		"not tokens for all 256 bytes":            append(message(1, message(1, "a")), message(2, message(3, 2, 41, -1), 3, message(4, 0))...),
		"piece 0 is of type 9, must be 1 to 6":    message(1, message(1, "a", 3, 9)),
	} {
		if _, err := tokenizer.ParseSentencePiece(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func FuzzParseSentencePiece(f *testing.F) {
	f.Add(sentencePieceModel(f, message(3, 2, 41, 1), message(4, 0)))
	f.Add(message(1, message(1, "a", 2, float32(1))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := tokenizer.ParseSentencePiece(data); err == nil {
			k.Decode(k.Encode("a text", tokenizer.Options{Begin: true}))
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, name := range []string{"llama3", "llama2", "unigram", "metaspace"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := tokenizer.ParseJSON(data); err == nil {
			k.Decode(k.Encode("a text", tokenizer.Options{Begin: true, Special: true}))
		}
	})
}

func TestOpen(t *testing.T) {
	folder := t.TempDir()
	if _, err := tokenizer.Open(folder); !errors.Is(err, tokenizer.ErrNone) {
		t.Errorf("an empty folder: got %v", err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := func(path string) *tokenizer.Tokenizer {
		k, err := tokenizer.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write("tokenizer.model", sentencePieceModel(t, message(3, 2), message(4, 0)))
	if got, want := open(folder).Vocabulary(), len(readVocabulary(t, "sentencepiece").Pieces); got != want {
		t.Errorf("tokenizer.model has %d tokens, want %d", got, want)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "llama3.json"))
	if err != nil {
		t.Fatal(err)
	}
	write("tokenizer.json", text)
	if got, want := open(folder).Vocabulary(), readJSON(t, "llama3").Vocabulary(); got != want {
		t.Errorf("tokenizer.json has %d tokens, want %d: it comes before tokenizer.model", got, want)
	}
	path := write("x.gguf", ggufBytes(t, readVocabulary(t, "gpt2").entries(t, "gpt-2")))
	if got, want := open(path).Vocabulary(), readJSON(t, "gpt2").Vocabulary(); got != want {
		t.Errorf("the GGUF file has %d tokens, want %d", got, want)
	}
	path = write("none.gguf", ggufBytes(t, nil))
	if _, err := tokenizer.Open(path); !errors.Is(err, tokenizer.ErrNone) || !strings.Contains(err.Error(), path) {
		t.Errorf("a GGUF file without a tokenizer: got %v", err)
	}
	write("tokenizer.json", text[:100])
	if _, err := tokenizer.Open(folder); err == nil || !strings.Contains(err.Error(), "tokenizer.json: ") {
		t.Errorf("a broken file: got %v", err)
	}
}

// BenchmarkEncode is a page of text, and a word of its length: neither is quadratic.
func BenchmarkEncode(b *testing.B) {
	corpus, err := os.ReadFile(filepath.Join("testdata", "make", "corpus.txt"))
	if err != nil {
		b.Fatal(err)
	}
	word := strings.Repeat("the", len(corpus)/3)
	for _, name := range []string{"llama3", "llama2", "unigram"} {
		k := readJSON(b, name)
		for kind, text := range map[string]string{"text": string(corpus), "word": word} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					k.Encode(text, tokenizer.Options{})
				}
			})
		}
	}
	if !utf8.Valid(corpus) {
		b.Error("the corpus is no UTF-8")
	}
}
