package member

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/trust"
	"github.com/meshway/meshway/consensus/catalog"
)

const challengeSize = 32

// Process is one process that runs a gateway. Two hosts that run one gateway have the
// same keys, but not the same process.
type Process struct {
	id    string // random
	began time.Time
}

// NewProcess returns the process that begins now.
func NewProcess() Process { return Process{id: rand.Text(), began: time.Now()} }

// age is measured by the monotonic clock: the other clock of a host may be wrong.
func (p Process) age() time.Duration { return time.Since(p.began) }

// processStatement returns the bytes that the signature of a process covers: texts are
// preceded by their length. The challenge proves that the process ran when it was known.
func processStatement(federation string, gateway catalog.GatewayID, challenge []byte, identity *controlpb.IdentifyResponse) []byte {
	var b []byte
	for _, text := range []string{"meshway/process", federation, string(gateway), string(challenge), string(identity.GetProcess())} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return binary.BigEndian.AppendUint64(b, uint64(identity.GetAge().AsDuration())) //nolint:gosec // the bits of a duration
}

// identify signs a challenge as process p of a gateway.
func (p Process) identify(certificate *tls.Certificate, federation string, gateway catalog.GatewayID, challenge []byte) (*controlpb.IdentifyResponse, error) {
	if len(challenge) != challengeSize {
		return nil, fmt.Errorf("challenge: %d bytes; send %d", len(challenge), challengeSize)
	}
	identity := &controlpb.IdentifyResponse{Process: []byte(p.id), Age: durationpb.New(p.age())}
	var err error
	identity.Certificate, identity.Signature, err = trust.Sign(certificate, processStatement(federation, gateway, challenge, identity))
	return identity, err
}

// verify verifies that another process than p signed a challenge as the gateway,
// whose datacenter has the CAs cas. The dates of the certificate do not matter.
func (p Process) verify(cas [][]byte, federation string, gateway catalog.GatewayID, challenge []byte, identity *controlpb.IdentifyResponse) error {
	if string(identity.GetProcess()) == p.id {
		return errors.New("it is this process")
	}
	statement := processStatement(federation, gateway, challenge, identity)
	if !slices.ContainsFunc(cas, func(ca []byte) bool {
		signer, err := trust.NewSigners(federation).Verify(ca, identity.GetCertificate(), statement, identity.GetSignature())
		return err == nil && signer.ID() == gateway
	}) {
		return fmt.Errorf("gateway %s has not signed it", gateway)
	}
	return nil
}

// newerThan reports whether p began after a process that signed its age before now.
// Of two processes it holds for one at most, however long the answers take: both ages
// grow alike.
func (p Process) newerThan(identity *controlpb.IdentifyResponse) bool {
	return identity.GetAge().AsDuration() >= p.age()
}
