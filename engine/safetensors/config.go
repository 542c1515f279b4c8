package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spotserve/spotserve/engine/model"
)

// maxJSON bounds config.json and the index, in bytes.
const maxJSON = 64 << 20

// settings is what config.json says that the engine has to know.
type settings struct {
	ModelType        string          `json:"model_type"`
	HiddenSize       int             `json:"hidden_size"`
	IntermediateSize int             `json:"intermediate_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	KVHeads          *int            `json:"num_key_value_heads"`
	HeadDim          *int            `json:"head_dim"`
	VocabSize        int             `json:"vocab_size"`
	Context          int             `json:"max_position_embeddings"`
	NormEps          float64         `json:"rms_norm_eps"`
	Theta            float64         `json:"rope_theta"`
	Scaling          *scaling        `json:"rope_scaling"`
	Parameters       *scaling        `json:"rope_parameters"`
	Tied             bool            `json:"tie_word_embeddings"`
	AttentionBias    bool            `json:"attention_bias"`
	MLPBias          bool            `json:"mlp_bias"`
	Activation       string          `json:"hidden_act"`
	SlidingWindow    *int            `json:"sliding_window"`
	PartialRotary    *float64        `json:"partial_rotary_factor"`
	Quantization     json.RawMessage `json:"quantization_config"`
	BOS              *int            `json:"bos_token_id"`
	EOS              tokens          `json:"eos_token_id"`
}

// scaling is how rotary positions are scaled: rope_scaling, and in newer files
// rope_parameters, which has theta too.
type scaling struct {
	Kind    string  `json:"rope_type"`
	OldKind string  `json:"type"`
	Theta   float64 `json:"rope_theta"`
	Factor  float64 `json:"factor"`
	Low     float64 `json:"low_freq_factor"`
	High    float64 `json:"high_freq_factor"`
	Context int     `json:"original_max_position_embeddings"`
}

// tokens is one token id, or a list, or null.
type tokens []int

func (t *tokens) UnmarshalJSON(text []byte) error {
	var one *int
	if err := json.Unmarshal(text, &one); err == nil {
		if one != nil {
			*t = tokens{*one}
		}
		return nil
	}
	return json.Unmarshal(text, (*[]int)(t))
}

// supportedModels are the values of model_type whose maths the engine computes.
var supportedModels = []string{"llama", "mistral"}

// configure reads config.json, and generation_config.json where there is one: chat
// models name there all tokens that end an answer.
func configure(folder string) (model.Config, error) {
	s := settings{Theta: 10000, Activation: "silu"}
	path := filepath.Join(folder, "config.json")
	if err := readJSON(path, &s); err != nil {
		return model.Config{}, err
	}
	c, err := s.config(filepath.Base(folder))
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	var generation struct {
		EOS tokens `json:"eos_token_id"`
	}
	path = filepath.Join(folder, "generation_config.json")
	if err := readJSON(path, &generation); err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	for _, id := range generation.EOS {
		if !slices.Contains(c.EOS, id) {
			c.EOS = append(c.EOS, id)
		}
	}
	return c, nil
}

func (s *settings) config(name string) (model.Config, error) {
	c := model.Config{
		Name: name, Layers: s.Layers, Hidden: s.HiddenSize, Heads: s.Heads, KVHeads: s.Heads, FFN: s.IntermediateSize,
		Vocab: s.VocabSize, Context: s.Context, NormEps: float32(s.NormEps), Rope: model.Rope{Theta: s.Theta},
		TiedHead: s.Tied, BOS: -1, EOS: s.EOS,
	}
	if s.KVHeads != nil {
		c.KVHeads = *s.KVHeads
	}
	if s.Heads > 0 {
		c.HeadDim = s.HiddenSize / s.Heads
	}
	if s.HeadDim != nil {
		c.HeadDim = *s.HeadDim
	}
	if s.BOS != nil {
		c.BOS = *s.BOS
	}
	switch {
	case !slices.Contains(supportedModels, s.ModelType):
		return c, fmt.Errorf("model_type is %s; supported are %q", quote(s.ModelType), supportedModels)
	case s.AttentionBias || s.MLPBias:
		return c, errors.New("attention_bias or mlp_bias is true: biases are not supported")
	case s.Activation != "silu" && s.Activation != "swish":
		return c, fmt.Errorf("hidden_act is %s; supported is \"silu\"", quote(s.Activation))
	case s.PartialRotary != nil && *s.PartialRotary != 1:
		return c, fmt.Errorf("partial_rotary_factor is %g; supported is 1", *s.PartialRotary)
	case len(s.Quantization) > 0 && string(s.Quantization) != "null":
		return c, errors.New("quantization_config: quantised weights are not supported")
	}
	// Within its window, sliding attention is full attention.
	if s.SlidingWindow != nil && *s.SlidingWindow > 0 {
		c.Context = min(c.Context, *s.SlidingWindow)
	}
	for _, r := range []*scaling{s.Parameters, s.Scaling} {
		if r == nil {
			continue
		}
		if r.Theta != 0 {
			c.Rope.Theta = r.Theta
		}
		kind := r.Kind
		if kind == "" {
			kind = r.OldKind
		}
		switch kind {
		case "", "default":
		case "llama3":
			if r.Factor == 0 {
				return c, errors.New("the rotary positions are scaled as llama3 without a factor")
			}
			c.Rope.Factor, c.Rope.LowFreqFactor, c.Rope.HighFreqFactor, c.Rope.OriginalContext = r.Factor, r.Low, r.High, r.Context
		default:
			return c, fmt.Errorf("the rotary positions are scaled as %s; supported are \"default\" and \"llama3\"", quote(kind))
		}
	}
	return c, nil
}

// readJSON reads a file of bounded size.
func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	err = errors.Join(err, f.Close())
	if err == nil && len(text) > maxJSON {
		err = fmt.Errorf("is longer than %d bytes", maxJSON)
	}
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
