package tokenizer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spotserve/spotserve/engine/gguf"
)

// ErrNone says that a model comes without a tokenizer.
var ErrNone = errors.New("the model has no tokenizer")

// Open reads the tokenizer of the model at path: that of a GGUF file, or
// tokenizer.json, else tokenizer.model, of a folder.
func Open(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return openGGUF(path)
	}
	for _, format := range []struct {
		name string
		read func(string) (*Tokenizer, error)
	}{
		{"tokenizer.json", ReadJSON}, {"tokenizer.model", ReadSentencePiece},
	} {
		t, err := format.read(filepath.Join(path, format.name))
		if !errors.Is(err, os.ErrNotExist) {
			return t, err
		}
	}
	return nil, fmt.Errorf("%s: %w: there is neither tokenizer.json nor tokenizer.model", path, ErrNone)
}

func openGGUF(path string) (*Tokenizer, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	t, err := FromGGUF(f)
	if err != nil && !strings.HasPrefix(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return t, errors.Join(err, f.Close())
}

// Prompts is a tokenizer of whole prompts and answers. Control tokens that are
// spelled out in a prompt are themselves, so that templates of chats work.
type Prompts struct{ *Tokenizer }

// Encode returns the tokens of a prompt, what sequences begin with included.
func (p Prompts) Encode(text string) ([]int32, error) {
	return p.Tokenizer.Encode(text, Options{Begin: true, Special: true}), nil
}
