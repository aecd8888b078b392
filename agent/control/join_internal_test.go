package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/identity"
)

func TestJoinNamesTheAddressFamilyThatThisHostLacks(t *testing.T) {
	dialing := func(errno syscall.Errno) error {
		return fmt.Errorf("203.0.113.2:7443: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)})
	}
	none := dialing(syscall.ENETUNREACH)
	for name, c := range map[string]struct {
		endpoints []string
		tried     []error
		want      string
	}{
		"IPv4 from a host without":      {[]string{"203.0.113.2:7443", "203.0.113.3:7443"}, []error{none, none}, "IPv4"},
		"IPv6 from a host without":      {[]string{"[2001:db8::1]:7443"}, []error{none}, "IPv6"},
		"IPv6 that is switched off":     {[]string{"[2001:db8::1]:7443"}, []error{dialing(syscall.EADDRNOTAVAIL)}, "IPv6"},
		"IPv6 that the kernel lacks":    {[]string{"[2001:db8::1]:7443"}, []error{dialing(syscall.EAFNOSUPPORT)}, "IPv6"},
		"IPv4 in IPv6":                  {[]string{"[::ffff:203.0.113.2]:7443"}, []error{none}, "IPv4"},
		"both families":                 {[]string{"203.0.113.2:7443", "[2001:db8::1]:7443"}, []error{none, none}, ""},
		"a name":                        {[]string{"gw.example.org:7443"}, []error{none}, ""},
		"one of two refuses":            {[]string{"203.0.113.2:7443", "203.0.113.3:7443"}, []error{none, dialing(syscall.ECONNREFUSED)}, ""},
		"it does not answer":            {[]string{"203.0.113.2:7443"}, []error{dialing(syscall.ETIMEDOUT)}, ""},
		"its certificate is of another": {[]string{"203.0.113.2:7443"}, []error{identity.ErrPin}, ""},
		"something else":                {[]string{"203.0.113.2:7443"}, []error{errors.New("it failed")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			refusal := unreachable(identity.Token{FederationName: "demo", Endpoints: c.endpoints}, c.tried)
			if c.want == "" {
				assert.NotEqual(t, CodeFamily, refusal.Code)
				return
			}
			assert.Equal(t, CodeFamily, refusal.Code)
			assert.Contains(t, refusal.Message, "this host has no "+c.want+" address")
			assert.Contains(t, refusal.Message, c.endpoints[0])
			assert.Contains(t, refusal.Remedy, "control.advertise")
		})
	}
}
