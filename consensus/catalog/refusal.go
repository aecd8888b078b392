package catalog

import (
	"errors"
	"fmt"
	"strings"
)

// Codes of refusals. They are stable: programs and scripts compare them.
const (
	CodeMalformed         = "malformed"           // a field cannot be parsed
	CodeTooLarge          = "too-large"           // the command or a part of it exceeds its limit
	CodeIgnoredUnknown    = "ignored-unknown"     // this member does not support the command, which is ignorable
	CodeUnknownCommand    = "unknown-command"     // Judge only: in the log it stops the member
	CodeClockAhead        = "clock-ahead"         // Judge only: the proposer's clock is ahead of the leader's
	CodeClockBehind       = "clock-behind"        // Judge only: it is behind
	CodeFeatureLevel      = "feature-level"       // Judge only: a gateway runs a build that does not support the command
	CodeQuota             = "quota-exceeded"      // Judge only: the datacenter would exceed one of Limits
	CodeStaleSequence     = "stale-sequence"      // the result was acknowledged and deleted
	CodeClientBacklog     = "client-backlog"      // the client has too many unacknowledged results
	CodeNotInitialized    = "not-initialized"     // the catalog holds no federation
	CodeInitialized       = "already-initialized" // the catalog holds a federation
	CodeUnknownAuthor     = "unknown-author"      // the author is not a member
	CodeNotOwner          = "not-owner"           // the author does not own the record
	CodeFederationInvalid = "federation-invalid"  // its id is not a UUID
	CodeFederationDiffers = "federation-differs"  // the token is for another federation
	CodeTokenUnknown      = "token-unknown"
	CodeTokenSecret       = "token-secret-wrong"
	CodeTokenExpired      = "token-expired"
	CodeTokenUsed         = "token-used"
	CodeTokenRevoked      = "token-revoked"
	CodeTokenBound        = "token-bound" // the token is for another datacenter name
	CodeTokenExists       = "token-exists"
	CodeTokenInvalid      = "token-invalid"
	CodeTokenLifetime     = "token-lifetime"
	CodeTokenLimit        = "token-limit"
	CodeNameInvalid       = "name-invalid"
	CodeNameTaken         = "name-taken"
	CodeUnknownDatacenter = "unknown-datacenter"
	CodeOwnDatacenter     = "own-datacenter" // the own datacenter leaves instead
	CodeUnknownGateway    = "unknown-gateway"
	CodeLastGateway       = "last-gateway"
	CodePrefixInvalid     = "prefix-invalid"
	CodePrefixDuplicate   = "prefix-duplicate"
	CodePrefixNotAllowed  = "prefix-not-allowed" // Judge only: it is public, and no other datacenter allows it
	CodePrefixLimit       = "prefix-limit"       // a datacenter allows too many
	CodePrefixOverlap     = "prefix-overlap"
	CodeOverlayInvalid    = "overlay-invalid"
	CodeOverlayExhausted  = "overlay-exhausted"
	CodeCertificate       = "certificate-invalid"
	CodeCertificateTaken  = "certificate-taken"
	CodeCertificateFixed  = "certificate-fixed" // a member cannot change it
	CodeCASuccession      = "ca-succession"     // it does not follow the CA of the datacenter
	CodePublicKeyInvalid  = "public-key-invalid"
	CodePublicKeyTaken    = "public-key-taken"
	CodeEndpointInvalid   = "endpoint-invalid"
	CodeVersionInvalid    = "version-invalid"
	CodeWitness           = "witness-prefixes" // Judge only: a witness has none
	CodeServiceInvalid    = "service-invalid"
	CodeAddressInvalid    = "address-invalid"
	CodeAddressForeign    = "address-foreign" // outside the datacenter's prefixes
	CodePortInvalid       = "port-invalid"
	CodeLabelsInvalid     = "labels-invalid"
	CodeExportInvalid     = "export-invalid"
	CodeUnknownExport     = "unknown-export" // endpoints of a service that is not exported
	CodeEndpointsInvalid  = "endpoints-invalid"
)

// Refusal describes why a command changed nothing. *Refusal implements error.
type Refusal struct {
	Code    string // stable, for programs; one of the Code constants
	Field   string // path of the field that was refused: "prefixes[0]"; may be empty
	Message string // one sentence
	Remedy  string // what to do next
}

// Error returns field, message and remedy in one line.
func (r *Refusal) Error() string {
	text := r.Message
	if r.Field != "" {
		text = r.Field + ": " + text
	}
	if r.Remedy != "" {
		text += "; " + r.Remedy
	}
	return text
}

// In returns r with path, that of the enclosing field, prepended to its field.
func (r *Refusal) In(path string) *Refusal {
	if r == nil {
		return nil
	}
	inside := *r
	switch {
	case r.Field == "":
		inside.Field = path
	case r.Field[0] == '[':
		inside.Field = path + r.Field
	default:
		inside.Field = path + "." + r.Field
	}
	return &inside
}

// clip returns a copy of r with texts of bounded length. Those of this package are
// shorter.
func (r *Refusal) clip() *Refusal {
	if r == nil {
		return nil
	}
	return &Refusal{
		Code: clip(r.Code, maxRefusalName), Field: clip(r.Field, maxRefusalName),
		Message: clip(r.Message, maxRefusalText), Remedy: clip(r.Remedy, maxRefusalText),
	}
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

// err returns r as an error, which is nil if r is nil.
func (r *Refusal) err() error {
	if r == nil {
		return nil
	}
	return r
}

// AsRefusal returns an error of the conversions as a *Refusal.
func AsRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return Malformed("", err.Error())
}

// At returns the path of element i of a field.
func At(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

const defectRemedy = "report this as a defect of the program that sent the command, with both versions of meshd"

// Malformed returns the refusal of a field that no version of meshd sends.
func Malformed(field, message string) *Refusal {
	return &Refusal{Code: CodeMalformed, Field: field, Message: message, Remedy: defectRemedy}
}

func tooLarge(field, message, remedy string) *Refusal {
	return &Refusal{Code: CodeTooLarge, Field: field, Message: message, Remedy: remedy}
}
