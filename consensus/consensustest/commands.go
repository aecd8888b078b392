package consensustest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Command is one write to the catalog.
type Command = *catalogpb.Command

// Federation is the id of the federation that NewInit creates.
const Federation = "11111111-2222-4333-8444-555555555555"

const datacenterPrefix = "dc"

// DatacenterName returns the name of datacenter i of a cluster: dc0, dc1, ….
func DatacenterName(i int) catalog.DatacenterName {
	return catalog.DatacenterName(datacenterPrefix + strconv.Itoa(i))
}

// NewInit returns the command that creates a federation with one gateway.
func NewInit(dc catalog.DatacenterName, gateway string) Command {
	f := catalog.Federation{ID: Federation, Name: "test", Overlay: netip.MustParsePrefix("fd77::/48")}
	return catalog.NewInit(f, newDatacenter(dc), newGateway(dc, gateway))
}

// NewJoin returns the command with which the gateway host creates a token, and the
// join that uses it.
func NewJoin(host catalog.GatewayID, dc catalog.DatacenterName, gateway string) (create, join Command) {
	token := fmt.Sprintf("token-%s-%d", dc, time.Now().UnixNano()) // a new one for each call
	hash := catalog.HashSecret([]byte(token))
	create = catalog.NewCreateToken(catalog.Token{
		ID: token, SecretHash: hash, CreatedBy: host, ExpiresAt: time.Now().Add(time.Hour),
	})
	create.Author = string(host)
	join = catalog.NewJoin(catalog.JoinRequest{
		TokenID: token, SecretHash: hash, FederationID: Federation,
		Datacenter: newDatacenter(dc), Gateway: newGateway(dc, gateway),
	})
	join.Author = string(host)
	return create, join
}

// NewAddGateway returns the command that adds a gateway to the datacenter of author.
func NewAddGateway(author catalog.GatewayID, dc catalog.DatacenterName, gateway string) Command {
	cmd := catalog.NewAddGateway(newGateway(dc, gateway))
	cmd.Author = string(author)
	return cmd
}

// NewLeave returns the command with which the datacenter of author leaves.
func NewLeave(author catalog.GatewayID) Command {
	cmd := catalog.NewLeave(author.Datacenter())
	cmd.Author = string(author)
	return cmd
}

// NewRemoval returns the command that removes another datacenter.
func NewRemoval(author catalog.GatewayID, dc catalog.DatacenterName, force bool) Command {
	cmd := catalog.NewRemoveDatacenter(dc, force)
	cmd.Author = string(author)
	return cmd
}

// Key identifies a register of a datacenter: a service with a label.
type Key struct {
	Owner catalog.GatewayID
	Name  string
}

func (k Key) service() catalog.ServiceKey {
	return catalog.ServiceKey{Datacenter: k.Owner.Datacenter(), Namespace: "test", Name: k.Name, Instance: "one"}
}

// Set returns the command that writes a register. Any member may propose it.
func (k Key) Set(value string) Command {
	key := k.service()
	cmd := catalog.NewPutServices([]catalog.Service{{
		ServiceKey: key, Owner: k.Owner, Address: prefixOf(key.Datacenter).Addr().Next(),
		Ports:  []catalog.Port{{Name: "http", Protocol: "tcp", Number: 80}},
		Labels: map[string]string{"value": value},
	}})
	cmd.Author = string(k.Owner)
	return cmd
}

// Delete returns the command that deletes a register. Any member may propose it.
func (k Key) Delete() Command {
	cmd := catalog.NewDeleteServices([]catalog.ServiceKey{k.service()})
	cmd.Author = string(k.Owner)
	return cmd
}

// Get returns the value of the register; empty: never set.
func (k Key) Get(view *replica.View) string {
	key := k.service()
	filter := replica.ServiceFilter{Datacenter: key.Datacenter, Namespace: key.Namespace, Name: key.Name}
	for _, s := range view.Services(filter) {
		return s.Labels["value"]
	}
	return ""
}

// prefixOf returns the pod prefix of dcN: 10.N.0.0/16.
func prefixOf(dc catalog.DatacenterName) netip.Prefix {
	i, err := strconv.Atoi(strings.TrimPrefix(string(dc), datacenterPrefix))
	if err != nil || i > 255 {
		panic(fmt.Sprintf("datacenter %q is not one of DatacenterName", dc))
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)
}

func newDatacenter(dc catalog.DatacenterName) catalog.Datacenter {
	return catalog.Datacenter{
		Name: dc, CACertificate: certificate(dc),
		Prefixes: []catalog.Prefix{{CIDR: prefixOf(dc), Kind: catalog.PodPrefix}},
	}
}

func newGateway(dc catalog.DatacenterName, name string) catalog.Gateway {
	id := catalog.NewGatewayID(dc, name)
	return catalog.Gateway{
		Datacenter: dc, Name: name, PublicKey: sha256.Sum256([]byte(id)),
		Endpoints: []string{"192.0.2.1:51820"}, Controls: []string{"192.0.2.1:7443"}, Version: "test",
	}
}

// certificate returns a CA that depends only on the name.
func certificate(dc catalog.DatacenterName) []byte {
	seed := sha256.Sum256([]byte("ca of " + dc))
	key := ed25519.NewKeyFromSeed(seed[:])
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: string(dc)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err) // of constants
	}
	return der
}
