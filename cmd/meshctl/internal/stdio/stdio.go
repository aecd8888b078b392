// Package stdio connects a remote meshctl to the meshd of this host.
package stdio

import (
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/kubectl"
)

// Command returns meshctl dial-stdio, which copies in to the socket of meshd and its
// answers to out.
func Command(socket *string, in io.Reader, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:    kubectl.DialStdio,
		Hidden: true,
		Args:   command.NoArguments(),
		Short:  "Connect stdin and stdout to the socket of meshd",
		Long: `Copies stdin to the socket of meshd, and the answers of meshd to stdout. meshctl
--context runs this command in the agent's container through kubectl exec.`,
		Example: `  kubectl exec -i POD -c meshd -- meshctl dial-stdio`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var dialer net.Dialer
			conn, err := dialer.DialContext(cmd.Context(), "unix", *socket)
			if err != nil {
				return fmt.Errorf("connect to meshd: %w", err)
			}
			defer conn.Close()
			go func() {
				_, _ = io.Copy(conn, in) // ends with stdin; the other direction reports errors
				_ = conn.(*net.UnixConn).CloseWrite()
			}()
			_, err = io.Copy(out, conn)
			return err
		},
	}
}
