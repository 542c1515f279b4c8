package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spotserve/spotserve/core/experiment"
)

// prompt is what a request asks: a text, or tokens.
type prompt struct {
	text      string
	tokens    []int32
	maxTokens int // of the answer; 0: as the experiment says
}

// Limits of a file of prompts.
const (
	maxPrompts     = 100_000
	maxPromptText  = 64 << 10 // bytes: a request has to fit one message of the bus
	maxPromptToken = 16_384
)

// bound is the most tokens that the prompt may come to: a token stands for a byte
// at least, and two more may frame it.
func (p prompt) bound() int {
	if p.text != "" {
		return len(p.text) + 2
	}
	return len(p.tokens)
}

// readPrompts reads a file of prompts, one JSON object a line (docs/experiments.md,
// "Prompts").
func readPrompts(name string, r io.Reader) ([]prompt, error) {
	var list []prompt
	err := eachLine(name, r, func(line string) error {
		if len(list) == maxPrompts {
			return fmt.Errorf("the file has more than %d prompts", maxPrompts)
		}
		p, err := parsePrompt([]byte(line))
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func parsePrompt(line []byte) (p prompt, err error) {
	fields, err := jsonObject(line)
	if err != nil {
		return p, err
	}
	keys := []string{"prompt", "tokens", "max_tokens"}
	given := make(map[string]bool)
	for _, f := range fields {
		switch given[f.key] = true; f.key {
		case "prompt":
			p.text, err = decodeJSON[string](f.value)
		case "tokens":
			p.tokens, err = promptTokens(f.value)
		case "max_tokens":
			p.maxTokens, err = decodeJSON[int](f.value)
		default:
			return p, errors.New(unknownKey(f.key, keys))
		}
		if err != nil {
			return p, fmt.Errorf("%s: %w", f.key, err)
		}
	}
	switch {
	case given["prompt"] && given["tokens"]:
		return p, errors.New("prompt and tokens are both given, want one of them")
	case given["prompt"] && p.text == "":
		return p, errors.New("prompt is empty")
	case len(p.text) > maxPromptText:
		return p, fmt.Errorf("prompt has %d bytes, allowed are %d", len(p.text), maxPromptText)
	case given["tokens"] && len(p.tokens) == 0:
		return p, errors.New("tokens is empty")
	case len(p.tokens) > maxPromptToken:
		return p, fmt.Errorf("tokens has %d tokens, allowed are %d", len(p.tokens), maxPromptToken)
	case !given["prompt"] && !given["tokens"]:
		return p, errors.New("neither prompt nor tokens is given")
	case given["max_tokens"] && (p.maxTokens < 1 || p.maxTokens > maxTokens):
		return p, fmt.Errorf("max_tokens is %d, allowed is 1 to %d", p.maxTokens, maxTokens)
	}
	return p, nil
}

func promptTokens(raw json.RawMessage) ([]int32, error) {
	numbers, err := decodeJSON[[]int](raw)
	if err != nil {
		return nil, err
	}
	tokens := make([]int32, len(numbers))
	for i, n := range numbers {
		if n < 0 || n >= maxVocabulary {
			return nil, fmt.Errorf("number %d is %d, allowed is 0 to %d", i+1, n, maxVocabulary-1)
		}
		tokens[i] = int32(n)
	}
	return tokens, nil
}

// loadPrompts reads the prompts that the experiment names.
func (s *settler) loadPrompts() {
	const key = "transformer.prompts"
	t := &s.transformer
	if t.Prompts == "" {
		return
	}
	path, ok := s.path(key, t.Prompts)
	if !ok {
		return
	}
	t.Prompts = path
	list, err := s.files.promptsOf(path)
	if err != nil {
		s.noteFile(key, err)
		return
	}
	for i, p := range list {
		if most := slices.Max(append(p.tokens, 0)); int(most) >= s.model.Vocabulary {
			s.doc.part("").requireAt(key, false, "%s: prompt %d has token %d, the model's vocabulary ends at %d", path, i+1, most, s.model.Vocabulary-1)
			return
		}
	}
	s.arrivals.asked = list
}

func (f *files) promptsOf(path string) ([]prompt, error) {
	return once(f.prompts, path, func() ([]prompt, error) { return readFile(path, readPrompts) })
}

// plannedPrompts is what is known of the lengths of given prompts.
func plannedPrompts(list []prompt) tokenPlan {
	all := make([]experiment.Arrival, len(list))
	for i, p := range list {
		all[i].PromptTokens = p.bound()
	}
	return counted(all, func(a experiment.Arrival) int { return a.PromptTokens })
}
