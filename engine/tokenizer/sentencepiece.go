package tokenizer

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// ReadSentencePiece reads a tokenizer.model of SentencePiece, kind BPE or unigram
// with byte fallback and without normalisation of characters: those of Llama 1, 2
// and Mistral.
func ReadSentencePiece(path string) (*Tokenizer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	t, err := ParseSentencePiece(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// The fields of sentencepiece_model.proto that are read.
const (
	modelPieces, modelTrainer, modelNormalizer = 1, 2, 3
	pieceText, pieceScore, pieceType           = 1, 2, 3
	trainerKind, trainerSuffix, trainerBegin   = 3, 24, 41
	normCharacters, normPrefix                 = 2, 3
	normExtraSpaces, normEscape                = 4, 5
	kindUnigram, kindBPE                       = 1, 2
)

// sentencePiece is a model with the defaults of its proto.
type sentencePiece struct {
	vocabulary
	scores                      []float32
	kind                        uint64
	begin                       int32
	suffix                      bool
	characters                  bool
	prefix, extraSpaces, escape bool
}

// ParseSentencePiece reads the bytes of a tokenizer.model.
func ParseSentencePiece(data []byte) (*Tokenizer, error) {
	m := sentencePiece{kind: kindUnigram, begin: 1, prefix: true, extraSpaces: true, escape: true}
	err := fields(data, func(n protowire.Number, v wireValue) error {
		switch n {
		case modelPieces:
			return m.piece(v.bytes)
		case modelTrainer:
			return fields(v.bytes, m.trainer)
		case modelNormalizer:
			return fields(v.bytes, m.normalizer)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(m.pieces) == 0:
		return nil, errors.New("is no SentencePiece model: it has no pieces")
	case m.kind != kindUnigram && m.kind != kindBPE:
		return nil, fmt.Errorf("the model is of kind %d; supported are %d (unigram) and %d (BPE)", m.kind, kindUnigram, kindBPE)
	case m.characters || m.extraSpaces || !m.escape || m.suffix:
		return nil, errors.New("the model normalises characters, removes extra spaces, or treats spaces as suffixes: not supported")
	case m.begin >= int32(len(m.pieces)):
		return nil, fmt.Errorf("bos_id is %d, of %d pieces", m.begin, len(m.pieces))
	}
	n := normaliser{marks: true}
	if m.prefix {
		n.prefix = prefixAlways
	}
	var t *Tokenizer
	if m.kind == kindBPE {
		t, err = newScored(&m.vocabulary, m.scores, n.prefix)
	} else {
		t, err = newUnigram(&m.vocabulary, m.scores, n)
	}
	if err != nil {
		return nil, err
	}
	if m.begin >= 0 {
		t.begin = []int32{m.begin}
	}
	return t, nil
}

func (m *sentencePiece) piece(data []byte) error {
	text, score, k := "", float32(0), normal
	err := fields(data, func(n protowire.Number, v wireValue) error {
		switch n {
		case pieceText:
			text = string(v.bytes)
		case pieceScore:
			score = math.Float32frombits(v.fixed32)
		case pieceType:
			if v.varint < uint64(normal) || v.varint > uint64(byteToken) {
				return fmt.Errorf("piece %d is of type %d, must be %d to %d", len(m.pieces), v.varint, normal, byteToken)
			}
			k = kind(v.varint)
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.scores = append(m.scores, score)
	return m.put(len(m.pieces), text, k)
}

func (m *sentencePiece) trainer(n protowire.Number, v wireValue) error {
	switch n {
	case trainerKind:
		m.kind = v.varint
	case trainerSuffix:
		m.suffix = v.varint != 0
	case trainerBegin:
		m.begin = int32(v.varint)
	}
	return nil
}

func (m *sentencePiece) normalizer(n protowire.Number, v wireValue) error {
	switch n {
	case normCharacters:
		m.characters = len(v.bytes) > 0
	case normPrefix:
		m.prefix = v.varint != 0
	case normExtraSpaces:
		m.extraSpaces = v.varint != 0
	case normEscape:
		m.escape = v.varint != 0
	}
	return nil
}

// wireValue is the value of a field; which part counts is up to who reads it. A
// field of another wire type than its number has reads as zero.
type wireValue struct {
	varint  uint64
	fixed32 uint32
	bytes   []byte
}

// fields calls f for each field of a message.
func fields(data []byte, f func(protowire.Number, wireValue) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("is no SentencePiece model: %w", protowire.ParseError(n))
		}
		data = data[n:]
		var v wireValue
		switch kind {
		case protowire.VarintType:
			v.varint, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			v.fixed32, n = protowire.ConsumeFixed32(data)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return fmt.Errorf("is no SentencePiece model: %w", protowire.ParseError(n))
		}
		data = data[n:]
		if err := f(number, v); err != nil {
			return err
		}
	}
	return nil
}
