package member

import (
	"context"
	"time"

	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// NewToken is a join token with its secret, which is shown once.
type NewToken struct {
	Text      string
	ID        string
	ExpiresAt time.Time
	Endpoints []string
}

// CreateToken creates a join token that is valid for one join within ttl, and only
// for the named datacenter unless the name is empty.
func (m *Member) CreateToken(ctx context.Context, datacenter catalog.DatacenterName, ttl time.Duration) (NewToken, error) {
	view := m.node.View()
	federation, _ := view.Federation()
	token, err := identity.NewToken(identity.Token{
		FederationID:   federation.ID,
		FederationName: federation.Name,
		Endpoints:      m.tokenEndpoints(view),
		Pin:            m.certifier.CA().Pin(),
		Datacenter:     datacenter,
		ExpiresAt:      m.Now().Add(ttl),
	})
	if err != nil {
		return NewToken{}, err
	}
	_, err = catalog.One(m.Propose(ctx, catalog.NewCreateToken(catalog.Token{
		ID:         token.ID,
		SecretHash: token.Secret.Hash(),
		Datacenter: datacenter,
		CreatedBy:  m.file.GatewayID(),
		CreatedAt:  m.Now(),
		ExpiresAt:  token.ExpiresAt,
	})))
	if err != nil {
		return NewToken{}, err
	}
	text, err := token.Encode()
	if err != nil {
		return NewToken{}, err
	}
	return NewToken{Text: text, ID: token.ID, ExpiresAt: token.ExpiresAt, Endpoints: token.Endpoints}, nil
}

// tokenEndpoints returns the control addresses of this datacenter's gateways,
// this one first: only they can prove the pin.
func (m *Member) tokenEndpoints(v *replica.View) []string {
	var own, others []string
	for _, g := range v.Gateways() {
		switch {
		case g.ID() == m.file.GatewayID():
			own = g.Controls
		case g.Datacenter == m.file.Datacenter:
			others = append(others, g.Controls...)
		}
	}
	return append(append([]string{}, own...), others...)
}
