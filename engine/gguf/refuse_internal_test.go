package gguf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/model"
)

// shaped is a file of a tiny model whose keys and tensors a test changes.
type shaped struct {
	config  model.Config
	entries []Entry
	plan    []planned
}

func tiny() *shaped {
	c := model.Config{
		Name: "tiny", Layers: 1, Hidden: 8, Heads: 2, KVHeads: 1, HeadDim: 4, FFN: 8, Vocab: 9, Context: 16,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 1, BOS: -1,
	}
	entries, _ := metadata(c)
	w := &writer{config: c}
	return &shaped{config: c, entries: entries, plan: w.plan()}
}

func (s *shaped) set(key string, value any) *shaped {
	for i := range s.entries {
		if s.entries[i].Key == key {
			s.entries[i].Value = value
			return s
		}
	}
	s.entries = append(s.entries, Entry{key, value})
	return s
}

func (s *shaped) unset(key string) *shaped {
	for i := range s.entries {
		if s.entries[i].Key == key {
			s.entries = append(s.entries[:i], s.entries[i+1:]...)
			return s
		}
	}
	return s
}

func (s *shaped) again(key string) *shaped {
	s.entries = append(s.entries, Entry{key, uint32(1)})
	return s
}

func (s *shaped) tensor(name string, change func(*planned)) *shaped {
	for i := range s.plan {
		if s.plan[i].name == name {
			change(&s.plan[i])
			return s
		}
	}
	p := planned{name: name, kind: F32, rows: 1, cols: 4}
	change(&p)
	s.plan = append(s.plan, p)
	return s
}

// bytes is the file, all weights zero.
func (s *shaped) bytes() []byte {
	var out bytes.Buffer
	w := &writer{out: bufio.NewWriter(&out), config: s.config}
	w.header(s.entries, s.plan)
	for _, p := range s.plan {
		w.write(make([]byte, p.rows*p.cols*4))
		w.pad()
	}
	if err := w.out.Flush(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func open(data []byte) (model.Source, error) {
	f, err := Read(bytes.NewReader(data), int64(len(data)), "test.gguf")
	if err != nil {
		return nil, err
	}
	return f.Source(model.ReadOptions{})
}

func TestTinyOpens(t *testing.T) {
	s, err := open(tiny().bytes())
	if err != nil {
		t.Fatal(err)
	}
	id := model.BlobID{}
	if err := s.ReadBlob(id, make([]byte, s.Config().BlobBytes(id))); err != nil {
		t.Error(err)
	}
}

// TestRefusesOtherModels: what the engine would compute otherwise, by name.
func TestRefusesOtherModels(t *testing.T) {
	for want, s := range map[string]*shaped{
		`general.architecture is "qwen2"; supported is "llama"`: tiny().set("general.architecture", "qwen2"),
		`general.architecture is ""`:                            tiny().unset("general.architecture"),
		`key "llama.block_count" is missing`:                    tiny().unset("llama.block_count"),
		`key "llama.block_count" is of type string, want int64`: tiny().set("llama.block_count", "one"),
		`key "llama.attention.head_count" is of type []int64`:   tiny().set("llama.attention.head_count", []int32{2}),
		`layers is -1`:  tiny().set("llama.block_count", int32(-1)),
		`kv_heads is 0`: tiny().set("llama.attention.head_count_kv", uint32(0)),
		`heads is 0`:    tiny().set("llama.attention.head_count", uint32(0)),
		`norm_eps is 0`: tiny().unset("llama.attention.layer_norm_rms_epsilon"),
		`rope.dimension_count is 2; supported is the width of a head`:             tiny().set("llama.rope.dimension_count", uint32(2)),
		`value_length is 8; supported is the width of a head, 4`:                  tiny().set("llama.attention.value_length", uint32(8)),
		`llama.expert_count is 8: mixtures of experts`:                            tiny().set("llama.expert_count", uint32(8)),
		`llama.logit_scale is 2: it is not supported`:                             tiny().set("llama.logit_scale", float32(2)),
		`llama.rope.scaling.type is "yarn" with factor 4`:                         tiny().set("llama.rope.scaling.type", "yarn").set("llama.rope.scaling.factor", float32(4)),
		`llama.rope.scaling.type is "linear" with factor 2`:                       tiny().set("llama.rope.scale_linear", float32(2)),
		`special token 9 is outside the vocabulary of 9`:                          tiny().set("tokenizer.ggml.bos_token_id", uint32(9)),
		`tokenizer.ggml.tokens has 10 tokens, the embedding only 9`:               tiny().set("tokenizer.ggml.tokens", make([]string, 10)),
		`tensor "blk.0.attn_q.weight" is missing`:                                 tiny().tensor("blk.0.attn_q.weight", func(p *planned) { p.name = "blk.7.x" }),
		`tensor "blk.0.attn_q.bias" belongs to no model`:                          tiny().tensor("blk.0.attn_q.bias", func(*planned) {}),
		`tensor "blk.0.attn_k.weight" is [8 5], the model's shape asks for [8 4]`: tiny().tensor("blk.0.attn_k.weight", func(p *planned) { p.rows = 5 }),
		`tensor "token_embd.weight" is missing or no matrix`:                      tiny().tensor("token_embd.weight", func(p *planned) { p.rows = 1 }),
		`"rope_freqs.weight" is [3] of F32, must be [2] of F32`:                   tiny().tensor("rope_freqs.weight", func(p *planned) { p.cols = 3 }),
		`"rope_freqs.weight" is not Llama 3.1's scaling`:                          tiny().tensor("rope_freqs.weight", func(p *planned) { p.cols = 2 }),
		`general.alignment is 48, must be a power of two`:                         tiny().set("general.alignment", uint32(48)),
		`general.alignment is 0, must be a power of two`:                          tiny().set("general.alignment", uint32(0)),
	} {
		if _, err := open(s.bytes()); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "test.gguf: ") {
			t.Errorf("got %v, want %q of test.gguf", err, want)
		}
	}
	for name, s := range map[string]*shaped{
		"a factor of 1":            tiny().set("llama.rope.scaling.factor", float32(1)),
		"a factor that is not on":  tiny().set("llama.rope.scaling.type", "none").set("llama.rope.scaling.factor", float32(4)),
		"the default alignment":    tiny().set("general.alignment", uint32(32)),
		"no experts":               tiny().set("llama.expert_count", uint32(0)),
		"keys of other programs":   tiny().set("general.license", "x").set("quantize.imatrix.file", "y"),
		"fewer tokens than rows":   tiny().set("tokenizer.ggml.tokens", make([]string, 3)),
		"a window over everything": tiny().set("llama.attention.sliding_window", uint32(99)),
	} {
		if _, err := open(s.bytes()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := open(tiny().set("llama.attention.sliding_window", uint32(5)).bytes())
	if err != nil || s.Config().Context != 5 {
		t.Errorf("a window of 5 must bound the context: %v", err)
	}
}

// at finds a text in a file, and how far its end is from the start.
func at(data []byte, text string) int { return bytes.Index(data, []byte(text)) + len(text) }

func patched(change func(data []byte) []byte) []byte { return change(tiny().bytes()) }

func put32(offset func([]byte) int, v uint32) []byte {
	return patched(func(d []byte) []byte {
		binary.LittleEndian.PutUint32(d[offset(d):], v)
		return d
	})
}

func put64(offset func([]byte) int, v uint64) []byte {
	return patched(func(d []byte) []byte {
		binary.LittleEndian.PutUint64(d[offset(d):], v)
		return d
	})
}

func fixed(n int) func([]byte) int { return func([]byte) int { return n } }

func after(text string, more int) func([]byte) int {
	return func(d []byte) int { return at(d, text) + more }
}

// TestRefusesCorruptFiles changes single fields. Errors come before anything of
// the claimed size is allocated.
func TestRefusesCorruptFiles(t *testing.T) {
	const tensor = "blk.0.attn_q.weight" // then: dims u32, 2 dims u64, type u32, offset u64
	for want, data := range map[string][]byte{
		"is no GGUF file":                            put32(fixed(0), 0x46554746),
		"GGUF of version 1; supported are 2 and 3":   put32(fixed(4), 1),
		"GGUF of version 4":                          put32(fixed(4), 4),
		"is big-endian":                              put32(fixed(4), 3<<24),
		"claims 1099511627776 tensors":               put64(fixed(8), 1<<40),
		"claims 18446744073709551615 keys":           put64(fixed(16), math.MaxUint64),
		"a key is 18446744073709551615 bytes long":   put64(fixed(24), math.MaxUint64),
		"a key is 65535 bytes long, the file has":    put64(fixed(24), 65535),
		"unknown type 13":                            put32(after("general.architecture", 0), 13),
		`the value of key "general.architecture" is`: put64(after("general.architecture", 4), 1<<60),
		tensor + `" has 0 dimensions`:                put32(after(tensor, 0), 0),
		tensor + `" has 5 dimensions`:                put32(after(tensor, 0), 5),
		tensor + `" has a dimension of 0,`:           put64(after(tensor, 4), 0),
		"has a dimension of 9223372036854775808":     put64(after(tensor, 12), 1<<63),
		"bytes from byte":                            put64(after(tensor, 12), 1<<30),
		"of the data, the whole file has":            put64(after(tensor, 24), 1<<62),
		"is no multiple of the alignment 32":         put64(after(tensor, 24), 33),
		"no whole number of Q8_0 blocks of 32":       put32(after(tensor, 20), uint32(Q8_0)),
		"the file ends at":                           tiny().bytes()[:100],
		`key "llama.block_count" is there twice`:     tiny().again("llama.block_count").bytes(),
		`"general.architecture" has elements of type 9;`: patched(func(d []byte) []byte {
			binary.LittleEndian.PutUint32(d[at(d, "general.architecture"):], uint32(typeArray))
			binary.LittleEndian.PutUint32(d[at(d, "general.architecture")+4:], uint32(typeArray))
			return d
		}),
		"has 72057594037927936 elements, at most": patched(func(d []byte) []byte {
			binary.LittleEndian.PutUint32(d[at(d, "general.architecture"):], uint32(typeArray))
			binary.LittleEndian.PutUint32(d[at(d, "general.architecture")+4:], uint32(typeUint8))
			binary.LittleEndian.PutUint64(d[at(d, "general.architecture")+8:], 1<<56)
			return d
		}),
		"has 1048576 elements, the file has": patched(func(d []byte) []byte {
			binary.LittleEndian.PutUint32(d[at(d, "general.architecture"):], uint32(typeArray))
			binary.LittleEndian.PutUint32(d[at(d, "general.architecture")+4:], uint32(typeString))
			binary.LittleEndian.PutUint64(d[at(d, "general.architecture")+8:], 1<<20)
			return d
		}),
		"is IQ2_XXS; supported are F32, F16, BF16 and Q8_0": put32(after(tensor, 20), 16),
		"is type 77; supported are":                         put32(after(tensor, 20), 77),
	} {
		_, err := open(data)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	twice := tiny()
	twice.plan = append(twice.plan, twice.plan[0])
	if _, err := open(twice.bytes()); err == nil || !strings.Contains(err.Error(), `tensor "token_embd.weight" is there twice`) {
		t.Errorf("a tensor twice: got %v", err)
	}
}

// TestRefusesEveryTruncation cuts a file at every byte.
func TestRefusesEveryTruncation(t *testing.T) {
	data := tiny().set("tokenizer.ggml.tokens", []string{"a", "bc"}).set("tokenizer.ggml.add_bos_token", true).bytes()
	padding := int(32 - 1) // behind the last tensor; cutting that off loses nothing
	for n := range len(data) - padding {
		if _, err := open(data[:n]); err == nil {
			t.Fatalf("a file cut off at byte %d of %d opens", n, len(data))
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(tiny().bytes())
	f.Add(tiny().set("tokenizer.ggml.tokens", []string{"a", "bc"}).set("tokenizer.ggml.scores", []float32{1, 2}).bytes())
	f.Add(tiny().tensor("rope_freqs.weight", func(p *planned) { p.cols = 2 }).bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := open(data)
		if err != nil {
			return
		}
		c := s.Config()
		if err := c.Validate(); err != nil {
			t.Fatalf("an invalid shape opens: %v", err)
		}
		if c.Layers > 64 {
			return
		}
		for layer := range c.Layers {
			for leaf := range c.Leaves {
				id := model.BlobID{Layer: layer, Leaf: leaf}
				if err := s.ReadBlob(id, make([]byte, c.BlobBytes(id))); err != nil {
					t.Fatalf("a file whose extents were checked does not read: %v", err)
				}
			}
		}
	})
}

// TestQueriesAndKeysAreInterleaved checks the permutation in the file's own bytes.
func TestQueriesAndKeysAreInterleaved(t *testing.T) {
	c := tiny().config
	source, err := model.Synthetic(c, 3)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Write(&out, source, F32); err != nil {
		t.Fatal(err)
	}
	f, err := Read(bytes.NewReader(out.Bytes()), int64(out.Len()), "x")
	if err != nil {
		t.Fatal(err)
	}
	layer, err := model.Join(source, 0)
	if err != nil {
		t.Fatal(err)
	}
	// Head 1 of two, width 4: rows 4..7 of the model are rows 4, 6, 5, 7 of the file.
	for row, in := range map[int]int{0: 0, 1: 2, 2: 1, 3: 3, 4: 4, 5: 6, 6: 5, 7: 7} {
		start := f.byName["blk.0.attn_q.weight"].Offset + int64(4*c.Hidden*in)
		got := make([]float32, c.Hidden)
		F32.decode(got, out.Bytes()[start:], 0)
		for i, want := range layer[model.Query][row*c.Hidden : (row+1)*c.Hidden] {
			if got[i] != want {
				t.Fatalf("row %d of the queries is not row %d of the file", row, in)
			}
		}
	}
}
