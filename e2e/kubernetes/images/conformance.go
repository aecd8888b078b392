package images

import (
	"context"
	"fmt"
)

// The images that the conformance suite of kubernetes-sigs/mcs-api names.
const (
	Socat    = "alpine/socat:1.7.4.4"
	Netshoot = "nicolaka/netshoot:v0.15"
)

// nc is what the suite uses of OpenBSD's: it connects and prints what comes.
// Busybox's knows neither -v nor -4. Nothing is sent: the suite's server answers
// and closes without reading, and a socat that is writing then loses the answer.
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

// Conformance makes stand-ins for the images that the conformance suite names,
// with what it uses of them: socat and a shell; nc, dig, nslookup, curl and a shell.
func Conformance(ctx context.Context) ([]Image, error) {
	socat, err := WithPrograms(ctx, "socat")
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", Socat, err)
	}
	// With dash, because busybox's shell would run busybox's nc and nslookup.
	netshoot, err := WithPrograms(ctx, "dash", "dig", "nslookup", "curl", "socat")
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", Netshoot, err)
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
