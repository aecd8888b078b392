// Package watch prints the changes of services as they happen.
package watch

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshway/meshway/agent/api/apiclient"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/command"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/cmd/meshctl/internal/output"
	"github.com/meshway/meshway/cmd/meshctl/internal/views"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Watcher follows services for a user.
type Watcher struct {
	Client func() *apiclient.Client
	Out    io.Writer
	Format *output.Format
	Retry  func(error) // is called when the connection has ended, before the next attempt
}

// Command returns meshctl watch.
func (w *Watcher) Command() *cobra.Command {
	request := &apipb.WatchRequest{}
	mode := command.ReadLease
	cmd := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Print the changes of services as they happen",
		Long: `Prints the services of the federation, and then each change once and in the
order of the catalog, until Ctrl-C: the index of the catalog, put or delete, and
the service. It continues when meshd is started again. With -o json, each change
is one line; an index of a line is where --index continues.`,
		Example: `  meshctl watch
  meshctl watch web --datacenter east
  meshctl watch --labels app=web,tier!=back -o json
  meshctl watch --index 1207            # only what has changed since`,
		Args: command.Positional(0, 1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Read = mode.String()
			if len(args) == 1 {
				request.Name = args[0]
			}
			return w.Run(cmd.Context(), request)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Namespace, "namespace", "", "print only services of this namespace (default: all)")
	flags.StringVar(&request.Datacenter, "datacenter", "", "print only services of this datacenter (default: all)")
	flags.StringVar(&request.Labels, "labels", "", "print only services with these labels: app=web,tier!=back,zone,!old")
	flags.Uint64Var(&request.Index, "index", 0, "print only what has changed after this index of the catalog")
	mode.Flag(cmd)
	return cmd
}

// Run prints until ctx ends or a retry cannot help.
func (w *Watcher) Run(ctx context.Context, request *apipb.WatchRequest) error {
	err := w.Client().Follow(ctx, request, w.print, func(err error) {
		if ctx.Err() == nil {
			w.Retry(err)
		}
	})
	if ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// change is the document of one change.
type change struct {
	Index   uint64                 `json:"index"`
	Change  string                 `json:"change"`
	Service *views.Service         `json:"service,omitempty"`
	Export  *views.ExportedService `json:"export,omitempty"`
}

func (w *Watcher) print(c apiclient.Change) error {
	list := views.NewServices(listOf(c.Item))
	document := change{Index: c.Index, Change: "put"}
	if c.Deleted {
		document.Change = "delete"
	}
	switch {
	case len(list.Services) > 0:
		document.Service = &list.Services[0]
	case len(list.Exports) > 0:
		document.Export = &list.Exports[0]
	}
	switch {
	case *w.Format == output.JSON: // one line
		return output.EncodeLine(w.Out, document)
	case w.Format.Structured():
		if _, err := fmt.Fprintln(w.Out, "---"); err != nil {
			return err
		}
		return w.Format.Encode(w.Out, document)
	}
	words := []string{strconv.FormatUint(document.Index, 10), document.Change}
	for _, cell := range views.ServicesTable(list.Services, list.Exports).Rows[0][:6] {
		words = append(words, human.Clean(cell.Text))
	}
	_, err := fmt.Fprintln(w.Out, strings.Join(words, "  "))
	return err
}

// listOf returns an item as a list of services has it.
func listOf(i *apipb.Item) *controlpb.ListServicesResponse {
	if s := i.GetService(); s != nil {
		return &controlpb.ListServicesResponse{Services: []*catalogpb.Service{s}}
	}
	exported := &controlpb.ExportedService{Export: i.GetExport().GetExport()}
	for _, s := range i.GetExport().GetSlices() {
		for _, e := range s.GetEndpoints() {
			exported.Endpoints++
			if e.GetReady() {
				exported.Ready++
			}
		}
	}
	return &controlpb.ListServicesResponse{Exports: []*controlpb.ExportedService{exported}}
}
