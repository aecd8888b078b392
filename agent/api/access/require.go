package access

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/meshway/meshway/agent/api/apipb/apipbconnect"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
)

// Codes of the refusals of this package. They are stable.
const (
	CodeUnauthenticated = "unauthenticated"
	CodeReadOnly        = "read-only"
)

// Require returns a handler that passes on the calls with a valid token in the header
// Authorization, as a bearer token (RFC 6750), that permits them.
func (t *Tokens) Require(handler http.Handler) http.Handler {
	errors := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		program, err := t.authorize(r)
		if err != nil {
			if connect.CodeOf(err) == connect.CodeUnauthenticated {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			_ = errors.Write(w, r, err) // the caller may be gone
			return
		}
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), programKey{}, program.Name)))
	})
}

// programKey is the key of the name of the calling program in the context of a call.
type programKey struct{}

// ProgramOf returns the name of the program that makes the call of this context, empty
// if it needed no token.
func ProgramOf(ctx context.Context) string {
	name, _ := ctx.Value(programKey{}).(string)
	return name
}

func (t *Tokens) authorize(r *http.Request) (Program, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	program, ok := t.Find(strings.TrimSpace(token))
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Program{}, rpc.NewRefusal(connect.CodeUnauthenticated, &catalog.Refusal{
			Code: CodeUnauthenticated, Field: "Authorization", Message: "the request has no valid token",
			Remedy: `send the header "Authorization: Bearer TOKEN" with a token of the file catalog.tokens`,
		})
	}
	if program.Scope != Write && !slices.Contains(readProcedures(), r.URL.Path) {
		return Program{}, rpc.NewRefusal(connect.CodePermissionDenied, &catalog.Refusal{
			Code: CodeReadOnly, Field: "Authorization", Message: fmt.Sprintf("the token of program %s permits only reads", program.Name),
			Remedy: "use a token with write in the file catalog.tokens",
		})
	}
	return program, nil
}

// readProcedures are those that change nothing.
func readProcedures() []string {
	return []string{apipbconnect.CatalogListProcedure, apipbconnect.CatalogGetProcedure, apipbconnect.CatalogWatchProcedure}
}
