package pathmtu

import (
	"slices"
	"time"

	"github.com/meshway/meshway/routes"
)

const (
	confirmInterval = 350 * time.Millisecond // between probes of the size in use
	raiseInterval   = 3 * time.Minute        // between rounds of larger sizes
	raiseFirst      = 15 * time.Second       // from a smaller size to the first round of larger ones: it may have been a disturbance
	maxPatience     = 2 * time.Second        // for the answers of a round
	roundTime       = 120 * time.Millisecond // minimum time that a probe has to be answered
	// repeats is how many probes of the size in use a round sends, so that a lossy
	// path is not taken for a narrow one.
	repeats = 4
	// roundSizes bounds the sizes of a round, and with them its bytes.
	roundSizes = 8
)

// search finds the path MTU of one peer. It is pure: the caller passes the time
// and the answers, and sends the probes that it returns.
type search struct {
	max      int   // of the tunnel's interface, bytes
	sizes    []int // that are probed, ascending; the last one is max
	size     int   // in use: the largest that was answered, or max before the first answer
	tooLarge int   // the smallest size above size that was not answered; 0: none
	answered bool  // a probe was answered since the search began

	round   round
	raiseAt time.Time // of the next round of larger sizes
	next    time.Time // of the next step
	rtt     time.Duration
}

// round is a set of probes that are judged together.
type round struct {
	searching bool // it has several sizes; otherwise it confirms the size in use
	probes    []probe
}

type probe struct {
	size     int
	sequence uint32
	sent     time.Time
	answered bool
}

// newSearch returns a search for a tunnel whose interface has the MTU max.
func newSearch(max int, now time.Time) *search {
	s := &search{next: now}
	s.setMax(max, now)
	return s
}

// setMax changes the MTU of the interface, and begins again if it differs.
func (s *search) setMax(max int, now time.Time) {
	if max == s.max {
		return
	}
	s.max, s.size, s.tooLarge, s.round = max, max, 0, round{}
	s.sizes = append(belowMin(), routes.MTUs(max)...)
	s.raiseAt, s.next = now.Add(raiseInterval), now
}

// belowMin are sizes that are too small for a tunnel. They are probed only to
// report what the path carries.
func belowMin() []int { return []int{600, 900, 1000, 1100, 1200} }

// step returns the sizes to probe now, the largest first, and when the next step
// is due.
func (s *search) step(now time.Time) ([]int, time.Time) {
	if now.Before(s.next) {
		return nil, s.next
	}
	var sizes []int
	switch again := s.judge(now); {
	case again:
		sizes = s.sizesOfRound()
	case !now.Before(s.raiseAt) && s.size < s.max:
		s.raiseAt, s.tooLarge = now.Add(raiseInterval), 0
		sizes = s.sizesOfRound()
	default:
		s.round, s.next = round{}, now.Add(s.patience())
		return []int{s.size}, s.next
	}
	s.round, s.next = round{searching: true}, now.Add(s.patience())
	return sizes, s.next
}

// patience returns how long an answer may take.
func (s *search) patience() time.Duration {
	return min(max(roundTime, 2*s.rtt+roundTime/4), maxPatience)
}

// judge evaluates the round that has ended, and reports whether another one has
// to follow at once.
func (s *search) judge(now time.Time) bool {
	if len(s.round.probes) == 0 {
		return false
	}
	if !s.round.searching {
		return !s.round.probes[0].answered
	}
	largest, smallestLost := 0, 0
	for _, p := range s.round.probes {
		if p.answered {
			largest = max(largest, p.size)
		}
	}
	if largest == 0 {
		// Nothing passes, or the answers take longer: this does not show the MTU.
		s.rtt = min(2*max(s.rtt, roundTime), maxPatience)
		return false
	}
	for _, p := range s.round.probes {
		if p.size > largest && (smallestLost == 0 || p.size < smallestLost) {
			smallestLost = p.size
		}
	}
	if largest < s.size {
		s.raiseAt = now.Add(raiseFirst)
	}
	s.size = largest
	if smallestLost != 0 {
		s.tooLarge = smallestLost
	}
	return len(s.between()) > 0
}

// between returns the sizes that may be the result, besides the size in use.
func (s *search) between() []int {
	from, _ := slices.BinarySearch(s.sizes, s.size+1)
	to := len(s.sizes)
	if s.tooLarge != 0 {
		to, _ = slices.BinarySearch(s.sizes, s.tooLarge)
	}
	return s.sizes[from:max(from, to)]
}

// sizesOfRound returns the sizes of a round, the largest first: those between the
// size in use and the one that is known to be too large; if there are none, the
// size in use may itself be too large, and smaller ones are included.
func (s *search) sizesOfRound() []int {
	larger := s.between()
	var smaller []int
	if len(s.round.probes) > 0 && !s.round.searching { // the size in use was not confirmed
		end, _ := slices.BinarySearch(s.sizes, s.size)
		smaller, larger = s.sizes[:end], nil
	}
	sizes := append(sample(smaller, roundSizes), slices.Repeat([]int{s.size}, repeats)...)
	sizes = append(sizes, sample(larger, roundSizes)...)
	slices.Reverse(sizes)
	return sizes
}

// sample returns at most n of the sizes, evenly distributed, with both ends.
func sample(sizes []int, n int) []int {
	if len(sizes) <= n {
		return slices.Clone(sizes)
	}
	var out []int
	for i := range n {
		out = append(out, sizes[i*(len(sizes)-1)/(n-1)])
	}
	return out
}

// sent records a probe of the current round.
func (s *search) sent(size int, sequence uint32, now time.Time) {
	s.round.probes = append(s.round.probes, probe{size: size, sequence: sequence, sent: now})
}

// answer records the answer to a probe of the current round. The round ends when
// all were answered.
func (s *search) answer(sequence uint32, now time.Time) {
	missing := 0
	for i := range s.round.probes {
		p := &s.round.probes[i]
		if p.sequence == sequence && !p.answered {
			p.answered, s.answered = true, true
			s.rtt = now.Sub(p.sent)
		}
		if !p.answered {
			missing++
		}
	}
	switch {
	case missing > 0:
	case s.round.searching:
		s.next = now
	case len(s.round.probes) > 0:
		s.next = s.round.probes[0].sent.Add(confirmInterval)
	}
}

// mtu returns the path MTU; 0 while it is not known.
func (s *search) mtu() int {
	if !s.answered {
		return 0
	}
	return s.size
}
