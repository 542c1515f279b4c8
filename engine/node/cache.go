package node

import (
	"cmp"
	"slices"
	"sync"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/engine/kv"
	"github.com/spotserve/spotserve/engine/model"
)

// piece is the cache of one sequence in one cell that a seat needs, and who has
// how much of it.
type piece struct {
	item dataplane.Item // its tokens are those that are missing
	from []holder       // the most first, those that the plan names before others
}

type holder struct {
	node   string
	tokens int // from item.From on
}

// fetchCache fetches the cache of the requests that a pipeline goes on with, as far
// as anybody has it, and returns the least of its seats.
func (t *transfer) fetchCache(s *start) []landed {
	if len(s.resume) == 0 {
		return nil
	}
	pieces := t.lacking(s)
	t.locate(s, pieces)
	var workers sync.WaitGroup
	turn := make(chan struct{}, fetches)
	for _, p := range pieces {
		turn <- struct{}{}
		workers.Go(func() {
			defer func() { <-turn }()
			t.bringCache(p)
		})
	}
	workers.Wait()
	out := make([]landed, 0, len(s.resume))
	for _, r := range s.resume {
		id, least := uint64(r.Request), t.most(r.PromptTokens, r.Committed)
		for _, x := range s.seats {
			for cell := range cells(x.region) {
				least = min(least, t.cache.Tokens(id, cell.Layer, cell.Leaf))
			}
		}
		out = append(out, landed{id, least})
	}
	return out
}

// most is how many positions of a request can be of use. The length of a prompt
// that is text is not known here.
func (t *transfer) most(prompt, committed int) int {
	if prompt == 0 {
		return t.config.Context
	}
	return min(prompt+committed, t.config.Context)
}

// lacking lists the pieces that the seats of a pipeline miss.
func (t *transfer) lacking(s *start) []*piece {
	var out []*piece
	seen := make(map[model.BlobID]bool)
	for _, x := range s.seats {
		for cell := range cells(x.region) {
			if seen[cell] {
				continue
			}
			seen[cell] = true
			for _, r := range s.resume {
				have, most := t.cache.Tokens(uint64(r.Request), cell.Layer, cell.Leaf), t.most(r.PromptTokens, r.Committed)
				if have < most {
					out = append(out, &piece{item: dataplane.Item{
						Kind: dataplane.Cache, Layer: cell.Layer, Leaf: cell.Leaf, Sequence: uint64(r.Request), From: have, To: most,
					}})
				}
			}
		}
	}
	return out
}

// locate asks everybody who might have the pieces how much of them there is.
func (t *transfer) locate(s *start, pieces []*piece) {
	if len(pieces) == 0 {
		return
	}
	items := make([]dataplane.Item, len(pieces))
	for i, p := range pieces {
		items[i] = p.item
	}
	nodes := slices.Clone(s.sources)
	for _, x := range t.peers {
		if !slices.Contains(nodes, x) {
			nodes = append(nodes, x)
		}
	}
	answers := make([][]int32, len(nodes))
	var asking sync.WaitGroup
	for i, node := range nodes {
		asking.Go(func() {
			answers[i] = t.askHeld(node, items)
		})
	}
	asking.Wait()
	for i, p := range pieces {
		for k, node := range nodes {
			if len(answers[k]) > i && answers[k][i] > 0 {
				p.from = append(p.from, holder{node, int(answers[k][i])})
			}
		}
		slices.SortStableFunc(p.from, func(a, b holder) int { return cmp.Compare(b.tokens, a.tokens) })
	}
}

// bringCache fetches a piece from one that has it. What nobody gives is left out.
func (t *transfer) bringCache(p *piece) {
	for _, h := range p.from {
		item := p.item
		item.To = item.From + h.tokens
		data := make([]byte, kv.ExportBytes(t.config, h.tokens))
		if t.resume(h.node, &dataplane.Transfer{Run: t.Run, Item: item, Dst: data}) != nil {
			continue
		}
		if err := t.cache.Import(item.Sequence, item.Layer, item.Leaf, item.From, item.To, data); err != nil {
			if !t.ahead {
				t.log.Error("KV cache cannot be kept; it is computed again", "epoch", t.duty.epoch, "piece", item.String(), "error", err)
			}
			return
		}
		t.received.Add(int64(len(data)))
		t.stats.received.Add(int64(len(data)))
		return
	}
}
