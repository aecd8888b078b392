package catalog

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
	CodeFederationDiffers = "federation-differs"  // the token is of another federation
	CodeTokenUnknown      = "token-unknown"
	CodeTokenSecret       = "token-secret-wrong"
	CodeTokenExpired      = "token-expired"
	CodeTokenUsed         = "token-used"
	CodeTokenRevoked      = "token-revoked"
	CodeTokenBound        = "token-bound" // to another datacenter name
	CodeTokenExists       = "token-exists"
	CodeTokenLifetime     = "token-lifetime"
	CodeNameInvalid       = "name-invalid"
	CodeNameTaken         = "name-taken"
	CodeUnknownDatacenter = "unknown-datacenter"
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
	CodeAddressInvalid    = "address-invalid"
	CodeAddressForeign    = "address-foreign" // outside of the datacenter's prefixes
	CodePortInvalid       = "port-invalid"
	CodeLabelsInvalid     = "labels-invalid"
)

// Refusal says why a command changed nothing. As an error it is found by
// errors.As with a *Refusal.
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
