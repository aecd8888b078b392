package member

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/control/controlpb"
)

// A gateway with IPv6 only does not reach a voter with IPv4 only, and the one that admitted it
// may lead next.
func TestAGatewayThatIsAdmittedBelievesTheOneThatAdmitsIt(t *testing.T) {
	names := func(voters ...string) (list []*controlpb.ElectorateResponse_Voter) {
		for _, name := range voters {
			list = append(list, &controlpb.ElectorateResponse_Voter{Gateway: name, CaCertificate: []byte("ca")})
		}
		return list
	}
	for _, voters := range [][]string{{"four/a"}, {"four/a", "dual/a"}, nil} {
		found := map[string]int{}
		for _, v := range believed(names(voters...), "dual/a") {
			found[v.GetGateway()]++
			assert.Empty(t, v.GetCaCertificate())
		}
		want := map[string]int{"dual/a": 1}
		for _, v := range voters {
			want[v] = 1
		}
		assert.Equal(t, want, found)
	}
}
