package node

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/engine/llm"
)

func TestWordsAreRead(t *testing.T) {
	for _, w := range []work{
		{},
		{release: []uint64{1, 1 << 63}},
		{release: []uint64{7}, batch: []llm.Sequence{
			{ID: 1 << 40, Start: 17, Tokens: []int32{1, 2, 3}, Sample: true, Sampling: llm.Sampling{Temperature: 0.7, TopP: 0.5, TopK: 9, Seed: 1<<64 - 1}},
			{ID: 2, Tokens: []int32{-1}},
		}},
	} {
		got, err := decodeWork(w.encode())
		if err != nil || !reflect.DeepEqual(got, w) {
			t.Errorf("got %+v, %v, want %+v", got, err, w)
		}
	}
	if got, err := decodeAnswer(encodeAnswer([]int32{5, 6})); err != nil || !reflect.DeepEqual(got, []int32{5, 6}) {
		t.Errorf("got %v, %v", got, err)
	}
	want := []landed{{1 << 50, 3}, {2, 0}}
	if got, err := decodeLanded(encodeLanded(want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// FuzzWords: whatever a peer sends is read as what it says, or refused; never more
// than it has sent is allocated.
func FuzzWords(f *testing.F) {
	w := work{release: []uint64{7}, batch: []llm.Sequence{{ID: 3, Start: 4, Tokens: []int32{1, 2}, Sample: true}}}
	f.Add(w.encode())
	f.Add(encodeAnswer([]int32{1, 2}))
	f.Add(encodeLanded([]landed{{1, 2}}))
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, head []byte) {
		if w, err := decodeWork(head); err == nil {
			if again, err := decodeWork(w.encode()); err != nil || len(again.batch) != len(w.batch) || len(again.release) != len(w.release) {
				t.Errorf("%x: %+v and then %+v, %v", head, w, again, err)
			}
		}
		if tokens, err := decodeAnswer(head); err == nil && !bytes.Equal(encodeAnswer(tokens), head) {
			t.Errorf("%x is read as %v", head, tokens)
		}
		if all, err := decodeLanded(head); err == nil && !bytes.Equal(encodeLanded(all), head) {
			t.Errorf("%x is read as %v", head, all)
		}
	})
}
