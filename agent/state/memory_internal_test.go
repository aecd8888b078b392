package state

import (
	"math/rand/v2"

	"github.com/meshway/meshway/consensus/consensustest/memdisk"
)

// memoryDisk is a disk in memory.
type memoryDisk struct{ *memdisk.Disk }

func newMemoryDisk(seed uint64) memoryDisk {
	return memoryDisk{memdisk.New(rand.New(rand.NewPCG(seed, 1)))}
}

func (m memoryDisk) Create(path string) (diskFile, error) {
	h, err := m.Disk.Create(path)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// put sets the content of a file, on the disk.
func (m memoryDisk) put(path string, content []byte) { m.Files[path] = memdisk.Written(content) }

func (m memoryDisk) restart(powerLost bool) memoryDisk { return memoryDisk{m.Restart(powerLost)} }
