package member

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// copyTimeout bounds the search for another host that runs this gateway. The own
// addresses of a host answer at once while its control port is closed.
const copyTimeout = time.Second

// RefuseCopy returns an error, and closes the member, if another host runs this
// gateway: that one has the same key, and each packet would reach one of them. It
// is called before Run, while nothing on this host answers at the addresses of the
// gateway. If the other host is out of reach, liveness detects it later.
func (m *Member) RefuseCopy(ctx context.Context) error {
	id := m.file.GatewayID()
	own, ok := m.node.View().Gateway(id)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	address, answers := m.port.Answers(ctx, id, own.Controls)
	if !answers {
		return nil
	}
	err := fmt.Errorf("gateway %s already runs on another host, which answers at %s with the same key; "+
		"stop meshd there if that host is the copy, or else remove dataDir here and join as a gateway of its own", id, address)
	return errors.Join(err, m.close())
}
