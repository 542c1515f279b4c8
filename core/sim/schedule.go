package sim

import "github.com/spotserve/spotserve/core/vtime"

// schedule finds which actor is due first. It is a tournament: the leaves of a
// tree are the actors by their numbers, an inner node is the winner of the two
// below it. A change of one actor asks for one comparison a level.
type schedule struct {
	due  []vtime.Time
	tree []int // actors; the root is at 1, the leaves are the second half; -1 is nobody
}

// newSchedule is for actors 0 to n-1, n > 0, none of which is due yet.
func newSchedule(n int) schedule {
	leaves := 1
	for leaves < n {
		leaves *= 2
	}
	s := schedule{due: make([]vtime.Time, n), tree: make([]int, 2*leaves)}
	for i := range leaves {
		s.tree[leaves+i] = -1
		if i < n {
			s.tree[leaves+i], s.due[i] = i, vtime.Never
		}
	}
	for node := leaves - 1; node >= 1; node-- {
		s.tree[node] = s.winner(node)
	}
	return s
}

// first is the actor that is due first; of several the one with the lowest
// number.
func (s *schedule) first() int { return s.tree[1] }

// set says when an actor is due.
func (s *schedule) set(actor int, due vtime.Time) {
	if s.due[actor] == due {
		return
	}
	s.due[actor] = due
	for node := (len(s.tree)/2 + actor) / 2; node >= 1; node /= 2 {
		winner := s.winner(node)
		if winner == s.tree[node] && winner != actor {
			return // nothing changes above
		}
		s.tree[node] = winner
	}
}

func (s *schedule) winner(node int) int {
	left, right := s.tree[2*node], s.tree[2*node+1]
	if right < 0 || s.due[left] <= s.due[right] {
		return left
	}
	return right
}
