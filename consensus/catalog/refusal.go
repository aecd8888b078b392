package catalog

import (
	"errors"
	"fmt"
)

// Codes of refusals. They are stable: programs and scripts compare them.
const (
	CodeMalformed         = "malformed"           // a field cannot be read at all
	CodeTooLarge          = "too-large"           // the command or a part of it exceeds its bound
	CodeIgnoredUnknown    = "ignored-unknown"     // this member does not know the command; it is ignorable
	CodeUnknownCommand    = "unknown-command"     // Check only: in the log it stops the member
	CodeClockAhead        = "clock-ahead"         // Check only: the proposer's clock is ahead of the leader's
	CodeStaleSequence     = "stale-sequence"      // the result was acknowledged and forgotten
	CodeClientBacklog     = "client-backlog"      // too many results that the client has not acknowledged
	CodeNotInitialized    = "not-initialized"     // the catalog holds no federation
	CodeInitialized       = "already-initialized" // the catalog holds a federation
	CodeUnknownAuthor     = "unknown-author"      // the caller is no member
	CodeNotOwner          = "not-owner"           // the caller writes what another owns
	CodeFederationInvalid = "federation-invalid"  // its id is no UUID
	CodeFederationDiffers = "federation-differs"  // the token is of another federation
	CodeTokenUnknown      = "token-unknown"
	CodeTokenSecret       = "token-secret-wrong"
	CodeTokenExpired      = "token-expired"
	CodeTokenUsed         = "token-used"
	CodeTokenRevoked      = "token-revoked"
	CodeTokenBound        = "token-bound" // to another datacenter name
	CodeTokenExists       = "token-exists"
	CodeTokenInvalid      = "token-invalid"
	CodeTokenLifetime     = "token-lifetime"
	CodeTokenLimit        = "token-limit"
	CodeNameInvalid       = "name-invalid"
	CodeNameTaken         = "name-taken"
	CodeUnknownDatacenter = "unknown-datacenter"
	CodeOwnDatacenter     = "own-datacenter" // it leaves, it is not removed
	CodeUnknownGateway    = "unknown-gateway"
	CodeLastGateway       = "last-gateway"
	CodePrefixInvalid     = "prefix-invalid"
	CodePrefixDuplicate   = "prefix-duplicate"
	CodePrefixOverlap     = "prefix-overlap"
	CodeOverlayInvalid    = "overlay-invalid"
	CodeOverlayExhausted  = "overlay-exhausted"
	CodeCertificate       = "certificate-invalid"
	CodeCertificateTaken  = "certificate-taken"
	CodeCertificateFixed  = "certificate-fixed" // only joining sets it
	CodePublicKeyInvalid  = "public-key-invalid"
	CodePublicKeyTaken    = "public-key-taken"
	CodeEndpointInvalid   = "endpoint-invalid"
	CodeVersionInvalid    = "version-invalid"
	CodeServiceInvalid    = "service-invalid"
	CodeAddressInvalid    = "address-invalid"
	CodeAddressForeign    = "address-foreign" // outside of the datacenter's prefixes
	CodePortInvalid       = "port-invalid"
	CodeLabelsInvalid     = "labels-invalid"
	CodeExportInvalid     = "export-invalid"
	CodeUnknownExport     = "unknown-export" // endpoints need an export
	CodeEndpointsInvalid  = "endpoints-invalid"
)

// Refusal says why a command changed nothing. As an error, errors.As finds it
// as a *Refusal.
type Refusal struct {
	Code    string // stable, for programs; one of the Code constants
	Field   string // what the caller got wrong, as a path: "prefixes[0]"
	Message string // one sentence
	Remedy  string // what to do next
}

// Error gives field, message and remedy in one line.
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

// in puts the path of the enclosing field before that of r.
func (r *Refusal) in(path string) *Refusal {
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

// err avoids the typed nil: a nil *Refusal in an error is not a nil error.
func (r *Refusal) err() error {
	if r == nil {
		return nil
	}
	return r
}

// asRefusal names the errors of the conversions by their type.
func asRefusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return malformed("", err.Error())
}

func at(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

const defectRemedy = "this is a defect of the program that sent the command: report it with both versions of meshd"

func malformed(field, message string) *Refusal {
	return &Refusal{Code: CodeMalformed, Field: field, Message: message, Remedy: defectRemedy}
}
