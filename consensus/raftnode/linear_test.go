package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/consensustest"
)

const (
	seeds   = 24
	clients = 4
	steps   = 25
	never   = int64(1) << 62 // when an operation of unknown outcome ends
)

// operation is a read or a write of one register.
type operation struct {
	key   string
	write bool
	value string
}

func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := make(map[string][]porcupine.Operation)
			for _, o := range history {
				key := o.Input.(operation).key
				byKey[key] = append(byKey[key], o)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			if o := input.(operation); o.write {
				return true, o.value
			}
			return output.(string) == state.(string), state
		},
	}
}

// history records operations; its clock orders what happens at one instant.
type history struct {
	mu    sync.Mutex
	clock int64
	all   []porcupine.Operation
}

func (h *history) now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

func (h *history) add(o porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, o)
}

// operate makes one random operation through one random member.
func (h *history) operate(r *rand.Rand, c *consensustest.Cluster, client, step int) {
	m := c.Members[r.IntN(len(c.Members))]
	key := consensustest.Key{Owner: c.Members[0].ID, Name: fmt.Sprintf("web%d", r.IntN(2))}
	o := operation{key: key.Name, write: r.IntN(2) == 0}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	call := h.now()
	record := func(output string, ended int64) {
		h.add(porcupine.Operation{ClientId: client, Input: o, Call: call, Output: output, Return: ended})
	}
	if !o.write {
		view, _, err := m.Node.Read(ctx, consensus.ConsistentRead)
		if err == nil {
			record(key.Get(view), h.now())
		}
		return
	}
	o.value = fmt.Sprintf("%d-%d", client, step)
	_, err := m.Node.Propose(ctx, key.Set(o.value))
	switch {
	case err == nil || errors.Is(err, consensus.ErrBehind):
		record("", h.now())
	case errors.Is(err, consensus.ErrUncertain):
		record("", never)
	}
}

// disturb cuts, delays and heals the network at random.
func disturb(ctx context.Context, r *rand.Rand, c *consensustest.Cluster) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		order := r.Perm(len(c.Members))
		a, b := c.Members[order[0]], c.Members[order[1]]
		switch r.IntN(6) {
		case 0:
			c.Network.Isolate(a.ID)
		case 1:
			c.Network.Cut(a.ID, b.ID)
		case 2:
			half := 1 + r.IntN(len(order)-1)
			var left, right []*consensustest.Member
			for i, m := range order {
				if i < half {
					left = append(left, c.Members[m])
				} else {
					right = append(right, c.Members[m])
				}
			}
			c.Network.Partition(ids(left...), ids(right...))
		case 3:
			c.Network.Delay(time.Duration(r.IntN(60)) * time.Millisecond)
		default:
			c.Network.Heal()
		}
	}
}

func TestHistoriesAreLinearizableUnderPartitions(t *testing.T) {
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var h history
			bubble(t, func(t *testing.T) {
				members := []int{3, 4, 5}[seed%3] // four have a non-voter
				c := consensustest.New(t, members, consensustest.Options{})
				ctx, cancel := context.WithCancel(context.Background())
				var users, nemesis sync.WaitGroup
				nemesis.Go(func() { disturb(ctx, rand.New(rand.NewPCG(seed, 999)), c) })
				for client := range clients {
					users.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(client)))
						for step := range steps {
							h.operate(r, c, client, step)
							time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
						}
					})
				}
				users.Wait()
				cancel()
				nemesis.Wait()
				c.Network.Heal()
				c.Network.Delay(0)
				for i := range 2 { // a final read that all members agree on
					key := consensustest.Key{Owner: c.Members[0].ID, Name: fmt.Sprintf("web%d", i)}
					call := h.now()
					view, _, err := c.Members[1].Node.Read(context.Background(), consensus.ConsistentRead)
					require.NoError(t, err)
					h.add(porcupine.Operation{Input: operation{key: key.Name}, Call: call, Output: key.Get(view), Return: h.now()})
				}
				c.WaitEqual()
			})
			require.Greater(t, len(h.all), clients*steps/4, "too few operations succeeded")
			require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(register(), h.all, 20*time.Second))
		})
	}
}
