//go:build linux

package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHierarchiesOfBothVersionsAreParsed(t *testing.T) {
	const mounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 23 0:39 / /proc rw,relatime - proc proc rw
`
	const groups = "2:cpu,cpuacct:/user\n1:name=systemd:/\n0::/session\n"
	assert.Equal(t, []hierarchy{
		{mount: "/sys/fs/cgroup/cpu,cpuacct", kind: "cgroup", options: "cpu,cpuacct", own: "/sys/fs/cgroup/cpu,cpuacct/user"},
		{mount: "/sys/fs/cgroup/systemd", kind: "cgroup", options: "name=systemd", own: "/sys/fs/cgroup/systemd"},
		{mount: "/sys/fs/cgroup/unified", kind: "cgroup2", own: "/sys/fs/cgroup/unified"},
	}, parseHierarchies(mounts, groups))

	const unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	assert.Equal(t, []hierarchy{{mount: "/sys/fs/cgroup", kind: "cgroup2", own: "/sys/fs/cgroup"}},
		parseHierarchies(unified, "0::/user.slice\n"))
}
