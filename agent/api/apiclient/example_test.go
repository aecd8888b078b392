package apiclient_test

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/api/apiclient"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

func Example() {
	socket, stop := meshd() // usually /run/meshway/meshd.sock
	defer stop()
	ctx := context.Background()
	client := apiclient.Socket(socket)

	// Register an instance that must not exist yet.
	registered, err := client.Register(ctx, connect.NewRequest(&apipb.RegisterRequest{
		Service: &catalogpb.Service{Name: "web", Instance: "a", Address: "10.0.0.1", Ports: []*catalogpb.Port{{Protocol: "tcp", Number: 80}}},
		IfIndex: proto.Uint64(0), RequestId: "3f2b",
	}))
	if err != nil {
		fmt.Println("register:", err)
		return
	}
	fmt.Println("registered", registered.Msg.GetInstance())

	// Follow the instances of a service until the first is gone.
	enough := errors.New("enough")
	err = client.Follow(ctx, &apipb.WatchRequest{Namespace: "default", Name: "web"}, func(c apiclient.Change) error {
		service := c.Item.GetService()
		if c.Deleted {
			fmt.Println("deleted", service.GetInstance())
			return enough
		}
		fmt.Println("serves at", service.GetAddress())
		_, err := client.Deregister(ctx, connect.NewRequest(&apipb.DeregisterRequest{Name: "web", Instance: service.GetInstance()}))
		return err
	}, nil)
	if !errors.Is(err, enough) {
		fmt.Println("follow:", err)
	}
	// Output:
	// registered a
	// serves at 10.0.0.1
	// deleted a
}
