package model_test

import (
	"bytes"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/engine/model"
)

func small(leaves int) model.Config {
	return model.Config{
		Name: "small", Layers: 3, Hidden: 24, Heads: 8, KVHeads: 4, HeadDim: 6, FFN: 20, Vocab: 37, Context: 64,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: leaves, BOS: 1, EOS: []int{2},
	}
}

func synthetic(t *testing.T, c model.Config, seed uint64) model.Source {
	t.Helper()
	s, err := model.Synthetic(c, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readBlob(t *testing.T, s model.Source, id model.BlobID) []byte {
	t.Helper()
	blob := make([]byte, s.Config().BlobBytes(id))
	for i := range blob {
		blob[i] = 0xa5 // what was there before must not show
	}
	if err := s.ReadBlob(id, blob); err != nil {
		t.Fatal(err)
	}
	return blob
}

// TestSyntheticDoesNotDependOnTheCut joins the leaves of every cut: the same
// matrices come back.
func TestSyntheticDoesNotDependOnTheCut(t *testing.T) {
	for _, tied := range []bool{false, true} {
		for _, dtype := range []model.DType{model.F32, model.BF16} {
			whole := small(1)
			whole.TiedHead, whole.DType = tied, dtype
			whole.FFN = 1040 // rows that are made in several parts
			for layer := range whole.Layers {
				want, err := model.Join(synthetic(t, whole, 5), layer)
				if err != nil {
					t.Fatal(err)
				}
				for _, leaves := range []int{2, 4} {
					c := whole
					c.Leaves = leaves
					got, err := model.Join(synthetic(t, c, 5), layer)
					if err != nil {
						t.Fatal(err)
					}
					for role := range want {
						if !equal(want[role], got[role]) {
							t.Errorf("tied %v, %v, layer %d, %d leaves: %v differs", tied, dtype, layer, leaves, model.Role(role))
						}
					}
				}
				if layer == whole.Layers-1 && tied {
					first, err := model.Join(synthetic(t, whole, 5), 0)
					if err != nil {
						t.Fatal(err)
					}
					if !equal(want[model.Head], first[model.Embedding]) {
						t.Error("a tied head is not the embedding")
					}
				}
			}
		}
	}
}

func equal(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}

// TestSyntheticIsPinned: checks of the engine keep tokens that these weights
// gave, and several processes make the same weights from a seed.
func TestSyntheticIsPinned(t *testing.T) {
	for _, tt := range []struct {
		dtype model.DType
		seed  uint64
		want  uint32
	}{
		{model.F32, 0, 0x92e1fd97},
		{model.F32, 1, 0x818e6e36},
		{model.BF16, 1, 0x1145ea37},
	} {
		c := small(4)
		c.DType = tt.dtype
		s := synthetic(t, c, tt.seed)
		sum := crc32.NewIEEE()
		for layer := range c.Layers {
			for leaf := range c.Leaves {
				_, _ = sum.Write(readBlob(t, s, model.BlobID{Layer: layer, Leaf: leaf}))
			}
		}
		if got := sum.Sum32(); got != tt.want {
			t.Errorf("%v, seed %d: checksum of all blobs is %#x, want %#x", tt.dtype, tt.seed, got, tt.want)
		}
	}
}

// TestSyntheticLooksTrained: deviations as documented, and different matrices,
// layers and seeds share nothing.
func TestSyntheticLooksTrained(t *testing.T) {
	c := small(1)
	c.Hidden, c.Vocab = 96, 500
	s := synthetic(t, c, 9)
	layer, err := model.Join(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		role            model.Role
		mean, deviation float64
	}{
		{model.Embedding, 0, 1.5 / math.Sqrt(96)},
		{model.AttnNorm, 1, 0.1},
		{model.Query, 0, 2 / math.Sqrt(96)},
		{model.Down, 0, 1 / math.Sqrt(20)},
	} {
		mean, deviation := moments(layer[tt.role])
		n := math.Sqrt(float64(len(layer[tt.role])))
		if math.Abs(mean-tt.mean) > 4*tt.deviation/n || math.Abs(deviation/tt.deviation-1) > 4/n {
			t.Errorf("%v: mean %g, deviation %g; want %g, %g", tt.role, mean, deviation, tt.mean, tt.deviation)
		}
	}
	next, err := model.Join(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := model.Join(synthetic(t, c, 10), 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]float32{
		"layers 0 and 1": {layer[model.Query], next[model.Query]},
		"seeds 9 and 10": {layer[model.Query], other[model.Query]},
		"gate and up":    {layer[model.Gate], layer[model.Up]},
	} {
		same := 0
		for i := range pair[0] {
			if pair[0][i] == pair[1][i] {
				same++
			}
		}
		if same > len(pair[0])/100 {
			t.Errorf("%s share %d of %d elements", name, same, len(pair[0]))
		}
	}
}

func moments(x []float32) (mean, deviation float64) {
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	mean = sum / float64(len(x))
	return mean, math.Sqrt(squares/float64(len(x)) - mean*mean)
}

func TestReadBlobRefuses(t *testing.T) {
	s := synthetic(t, small(2), 1)
	id := model.BlobID{Layer: 1, Leaf: 1}
	for name, tt := range map[string]struct {
		id   model.BlobID
		room int64
		want string
	}{
		"a layer too many":   {model.BlobID{Layer: 3}, 10, "no layer 3 leaf 0: it has 3 layers of 2 leaves"},
		"a leaf too many":    {model.BlobID{Leaf: 2}, 10, "no layer 0 leaf 2"},
		"a negative layer":   {model.BlobID{Layer: -1}, 10, "no layer -1"},
		"too little room":    {id, s.Config().BlobBytes(id) - 1, "got room for"},
		"more room than due": {id, s.Config().BlobBytes(id) + 1, "got room for"},
	} {
		err := s.ReadBlob(tt.id, make([]byte, tt.room))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*model.Config){
		"layers is 0, must be 1 to":             func(c *model.Config) { c.Layers = 0 },
		"hidden is -1":                          func(c *model.Config) { c.Hidden = -1 },
		"vocab is 1099511627776":                func(c *model.Config) { c.Vocab = 1 << 40 },
		"element type 7 is unknown":             func(c *model.Config) { c.DType = 7 },
		"leaves is 3, must be a power of two":   func(c *model.Config) { c.Leaves = 3 },
		"kv_heads 4 does not divide into 8":     func(c *model.Config) { c.Leaves = 8 },
		"ffn 22 does not divide into 4":         func(c *model.Config) { c.FFN = 22 },
		"heads 12 is no multiple of kv_heads 8": func(c *model.Config) { c.Heads, c.KVHeads = 12, 8 },
		"head_dim 7 is odd":                     func(c *model.Config) { c.HeadDim = 7 },
		"norm_eps is NaN":                       func(c *model.Config) { c.NormEps = float32(math.NaN()) },
		"rope theta is +Inf":                    func(c *model.Config) { c.Rope.Theta = math.Inf(1) },
		"rope factor is -8":                     func(c *model.Config) { c.Rope.Factor = -8 },
		"low_freq_factor is 4":                  func(c *model.Config) { c.Rope = model.Rope{Theta: 1e4, Factor: 8, LowFreqFactor: 4, HighFreqFactor: 1} },
		"original context is 0":                 func(c *model.Config) { c.Rope = model.Rope{Theta: 1e4, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4} },
		"special token 37 is outside":           func(c *model.Config) { c.EOS = []int{2, 37} },
		"special token -2 is outside":           func(c *model.Config) { c.BOS = -2 },
	} {
		c := small(4)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if _, err := model.Synthetic(c, 1); err == nil {
			t.Errorf("%q: weights are made all the same", want)
		}
	}
	if err := small(4).Validate(); err != nil {
		t.Error(err)
	}
}

// TestEncodeRoundsToNearestEven covers every kind of bf16 rounding.
func TestEncodeRoundsToNearestEven(t *testing.T) {
	for _, tt := range []struct{ from, want uint32 }{
		{0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
		{0x3f818000, 0x3f82}, {0xbf818000, 0xbf82}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80},
		{0x80000000, 0x8000}, {0x00000001, 0x0000}, {0x7fffffff, 0x7fff}, {0x7f800001, 0x7fc0},
	} {
		var got [2]byte
		model.Encode(got[:], []float32{math.Float32frombits(tt.from)}, model.BF16)
		if want := []byte{byte(tt.want), byte(tt.want >> 8)}; !bytes.Equal(got[:], want) {
			t.Errorf("%#x becomes %x, want %x", tt.from, got, want)
		}
	}
}

func BenchmarkSynthetic(b *testing.B) {
	c := model.Config{
		Name: "100m", Layers: 12, Hidden: 768, Heads: 12, KVHeads: 4, HeadDim: 64, FFN: 2048, Vocab: 16000, Context: 2048,
		NormEps: 1e-5, Rope: model.Rope{Theta: 10000}, Leaves: 4, BOS: -1,
	}
	s, err := model.Synthetic(c, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(c.WeightBytes())
	for b.Loop() {
		for layer := range c.Layers {
			for leaf := range c.Leaves {
				id := model.BlobID{Layer: layer, Leaf: leaf}
				if err := s.ReadBlob(id, make([]byte, c.BlobBytes(id))); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

func TestDefaultLeaves(t *testing.T) {
	for _, tt := range []struct{ kv, ffn, want int }{
		{8, 14336, 8}, {32, 11008, 8}, {4, 2048, 4}, {6, 2048, 2}, {5, 2048, 1}, {8, 2044, 4}, {8, 2047, 1},
	} {
		c := model.Config{KVHeads: tt.kv, Heads: tt.kv, FFN: tt.ffn}
		if got := c.DefaultLeaves(); got != tt.want {
			t.Errorf("%d KV heads, ffn %d: %d leaves, want %d", tt.kv, tt.ffn, got, tt.want)
		}
	}
}
