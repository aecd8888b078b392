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

// Conformance makes stand-ins for the images that the conformance suite names,
// with what it uses of them: socat and a shell; nc, dig, nslookup, curl and a shell.
func Conformance(ctx context.Context) ([]Image, error) {
	socat, err := With(ctx, "socat")
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", Socat, err)
	}
	netshoot, err := With(ctx, "dig", "curl")
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", Netshoot, err)
	}
	return []Image{
		{Name: Socat, Files: socat, Entrypoint: []string{"socat"}},
		{Name: Netshoot, Files: netshoot},
	}, nil
}
