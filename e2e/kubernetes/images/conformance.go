package images

import (
	"context"
	"fmt"
)

// The images of the conformance suite of kubernetes-sigs/mcs-api.
const (
	Socat    = "alpine/socat:1.7.4.4"
	Netshoot = "nicolaka/netshoot:v0.15"
)

// nc implements the options of OpenBSD's nc that the suite uses; that of busybox
// has neither -v nor -4. It connects and prints the received data, but sends
// nothing: the suite's server answers and closes without reading, and socat
// would lose the answer if it were writing.
const nc = `#!/bin/sh
family= seconds=10
while getopts vw:46 option; do
	case $option in
	w) seconds=$OPTARG ;;
	4 | 6) family=$option ;;
	esac
done
shift $((OPTIND - 1))
host=$1
case $host in *:*) host="[$1]" family=6 ;; esac
exec socat -u -T "$seconds" "TCP$family:$host:$2,connect-timeout=$seconds" STDOUT
`

// Conformance builds replacements of the images of the conformance suite with
// the programs that it uses: socat and a shell; nc, dig, nslookup, curl and a
// shell.
func Conformance(ctx context.Context) ([]Image, error) {
	socat, err := WithPrograms(ctx, "socat")
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", Socat, err)
	}
	// The shell is dash, because that of busybox would run busybox's nc and nslookup.
	netshoot, err := WithPrograms(ctx, "dash", "dig", "nslookup", "curl", "socat")
	if err != nil {
		return nil, fmt.Errorf("build image %s: %w", Netshoot, err)
	}
	netshoot = append(netshoot,
		File{Path: "/usr/bin/sh", Link: "dash"}, // before /bin in the path
		File{Path: "/usr/bin/nc", Text: nc, Mode: 0o755},
	)
	return []Image{
		{Name: Socat, Files: socat, Entrypoint: []string{"socat"}},
		{Name: Netshoot, Files: netshoot},
	}, nil
}
