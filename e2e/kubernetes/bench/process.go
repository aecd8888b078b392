//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meshway/meshway/e2e/kubernetes/cluster"
	"github.com/prometheus/procfs"
)

// program is the set of processes of one program on a node.
type program []procfs.Proc

// programsOn returns the agent and the userspace data plane of a node: the
// processes of meshd in the node's network namespace.
func programsOn(n *cluster.Node) (agent, dataplane program, err error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, nil, fmt.Errorf("list processes: %w", err)
	}
	node := networkOf(n.Host().PID())
	for _, p := range all {
		argv, err := p.CmdLine()
		if err != nil || len(argv) < 2 || filepath.Base(argv[0]) != "meshd" || networkOf(p.PID) != node {
			continue
		}
		switch argv[1] {
		case "run":
			agent = append(agent, p)
		case "lanes", "wireguard":
			dataplane = append(dataplane, p)
		}
	}
	if len(agent) != 1 || len(dataplane) == 0 {
		return nil, nil, fmt.Errorf("find processes of %s: found %d agents and %d processes of the data plane", n.Name, len(agent), len(dataplane))
	}
	return agent, dataplane, nil
}

// networkOf returns the network namespace of a process, or "" if it has exited.
func networkOf(pid int) string {
	link, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return link
}

// memory is the memory of a program in MiB. Pages of its file count as resident,
// but not as anonymous.
type memory struct{ resident, anonymous, peak float64 }

func (p program) memory() (sum memory, err error) {
	mib := func(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
	for _, process := range p {
		status, err := process.NewStatus()
		if err != nil {
			return sum, fmt.Errorf("read memory: %w", err)
		}
		sum.resident += mib(status.VmRSS)
		sum.anonymous += mib(status.RssAnon)
		sum.peak += mib(status.VmHWM)
	}
	return sum, nil
}

// meter is the processor time that a program had used at a point in time.
type meter struct {
	program program
	used    float64 // seconds of a core
	at      time.Time
}

func (p program) meter() (meter, error) {
	used, err := p.used()
	return meter{p, used, time.Now()}, err
}

// percent returns the program's use of a core since the meter was read.
func (m meter) percent() (float64, error) {
	used, err := m.program.used()
	return 100 * (used - m.used) / time.Since(m.at).Seconds(), err
}

func (p program) used() (seconds float64, err error) {
	for _, process := range p {
		stat, err := process.Stat()
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		seconds += stat.CPUTime()
	}
	return seconds, nil
}
