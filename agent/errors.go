package agent

import (
	"errors"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
)

// ErrNoLeader says that the catalog has no leader now; nothing was written.
var ErrNoLeader = errors.New("the catalog has no leader")

// ErrFormerName says that the gateways have a CA in common that was made when
// their datacenter had another name.
var ErrFormerName = errors.New("the datacenter had another name")

const (
	alreadyMemberCode = "already-a-member"
	siteUnknownCode   = "site-unknown"
	commonUnknownCode = "siblings-unknown"
	claimedCode       = "being-founded"
	busyCode          = "busy"
	unreachableCode   = "federation-unreachable" // of the adapter, when no endpoint of a token answers
)

// What a gateway answers to a call that its state does not allow.
func notMember() error {
	return &catalog.Refusal{
		Code: "not-a-member", Message: "this gateway is in no federation",
		Remedy: "found one with: meshctl init, or join one with: meshctl join TOKEN",
	}
}

func siteUnknown() error {
	return &catalog.Refusal{
		Code: siteUnknownCode, Message: "it is not known yet which prefixes this datacenter owns: its cluster has not answered",
		Remedy: "check that the API server is reachable from this gateway (kubernetes.kubeconfig), then try again",
	}
}

func alreadyMember(m Membership) error {
	return &catalog.Refusal{
		Code:    alreadyMemberCode,
		Message: fmt.Sprintf("this gateway is already in federation %s (%s)", m.FederationName, m.FederationID),
		Remedy:  "see meshctl status; to move to another federation run meshctl leave first",
	}
}
