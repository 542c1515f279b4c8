package tokenizer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spotserve/spotserve/engine/tokenizer"
)

// golden is what other implementations say; see testdata/README.md.
type golden struct {
	Text    string
	IDs     []int32
	Decoded string
}

func readGolden(t testing.TB, name string) map[string][]golden {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string][]golden
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func readJSON(t testing.TB, name string) *tokenizer.Tokenizer {
	t.Helper()
	k, err := tokenizer.ReadJSON(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestGolden compares with Hugging Face's tokenizers.
func TestGolden(t *testing.T) {
	for name, list := range readGolden(t, "golden.json") {
		k := readJSON(t, name)
		for _, g := range list {
			ids := k.Encode(g.Text, tokenizer.Options{Begin: true, Special: true})
			if !slices.Equal(ids, g.IDs) {
				t.Errorf("%s: %q becomes %v, want %v", name, g.Text, ids, g.IDs)
			}
			// It puts U+FFFD where bytes are no UTF-8; here they stay.
			if got := k.Decode(g.IDs); utf8.ValidString(got) && got != g.Decoded {
				t.Errorf("%s: %v becomes %q, want %q", name, g.IDs, got, g.Decoded)
			} else if !utf8.ValidString(got) && !strings.Contains(g.Decoded, "\ufffd") {
				t.Errorf("%s: %v becomes %q, want %q", name, g.IDs, got, g.Decoded)
			}
			checkStream(t, k, g.IDs)
		}
	}
}

// checkStream: a stream gives the same text, and characters only whole.
func checkStream(t *testing.T, k *tokenizer.Tokenizer, ids []int32) {
	t.Helper()
	want := k.Decode(ids)
	var got strings.Builder
	d := k.Stream()
	for _, id := range ids {
		part := d.Next(id)
		if utf8.ValidString(want) && !utf8.ValidString(part) {
			t.Errorf("%v: the stream cuts a character: %q", ids, part)
		}
		got.WriteString(part)
	}
	got.WriteString(d.Rest())
	if got.String() != want {
		t.Errorf("%v: the stream gives %q, all at once %q", ids, got.String(), want)
	}
}
