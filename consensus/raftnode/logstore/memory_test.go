package logstore

import (
	"math/rand/v2"
	"os"

	"github.com/meshway/meshway/consensus/consensustest/memdisk"
)

// memory is a directory in memory.
type memory struct{ *memdisk.Disk }

func newMemory(rng *rand.Rand) memory { return memory{memdisk.New(rng)} }

func (m memory) List() ([]string, error) { return m.Names(), nil }

func (m memory) Open(name string) (file, error) { return handle(m.Disk.Open(name)) }

func (m memory) Create(name string) (file, error) {
	if _, ok := m.Files[name]; ok {
		return nil, os.ErrExist
	}
	return handle(m.Disk.Create(name))
}

func handle(h *memdisk.Handle, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (m memory) restart(powerLost bool) memory { return memory{m.Restart(powerLost)} }

// failNext makes the next operation of that name fail with err.
func (m memory) failNext(operation string, err error) {
	m.Fail = func(name string) error {
		if name != operation {
			return nil
		}
		m.Fail = nil
		return err
	}
}
