// Package refused reports messages of raft that this gateway refused.
package refused

import (
	"fmt"
	"time"

	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Problems returns the problems of the messages that were refused lately.
func Problems(messages []consensus.Refused, now time.Time) []plan.Problem {
	var problems []plan.Problem
	for _, r := range messages {
		if now.Sub(r.Last) < reportedFor && (r.Code != consensus.CodeNotAVoter || r.Count > strayMessages) {
			problems = append(problems, problem(r))
		}
	}
	return problems
}

const (
	// reportedFor is how long a refused message of raft is reported.
	reportedFor = 10 * time.Minute
	// strayMessages is how many messages of a gateway without a vote are not reported:
	// one that has just lost or got its vote sends some.
	strayMessages = 100
)

func problem(r consensus.Refused) plan.Problem {
	dc, subject := r.Gateway.Datacenter(), plan.GatewaySubject(r.Gateway)
	if r.Gateway == catalog.GatewayID(dc) { // those beyond the ones that are counted each
		subject = plan.DatacenterSubject(dc)
	}
	if r.Code == consensus.CodeUnknownEntry {
		return plan.Problem{
			Code: r.Code, Severity: plan.Error, Subject: subject,
			Message: fmt.Sprintf("%s sent %d messages of raft with a change that this version of meshd does not support, and this gateway refused them: %s",
				subject, r.Count, r.Message),
			Remedy: fmt.Sprintf("upgrade meshd on this host to the version of the other gateways; if it has that, "+
				"find out with the operator of %s whether %s is compromised", dc, subject),
		}
	}
	return plan.Problem{
		Code: r.Code, Severity: plan.Error, Subject: subject,
		Message: fmt.Sprintf("%s sent %d messages of raft that no honest member sends, and this gateway refused them: %s", subject, r.Count, r.Message),
		Remedy: fmt.Sprintf("find out with the operator of %s whether that gateway is compromised; if it is, run meshctl datacenter remove %s",
			dc, dc),
	}
}
