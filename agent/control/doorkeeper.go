package control

import (
	"context"

	"connectrpc.com/connect"
)

// doorkeeper refuses calls before their handler sees them.
type doorkeeper struct {
	refuse func(procedure string) error // nil: all may pass
}

var _ connect.Interceptor = doorkeeper{}

func (d doorkeeper) judge(procedure string) error {
	if d.refuse == nil {
		return nil
	}
	return d.refuse(procedure)
}

// WrapUnary implements connect.Interceptor.
func (d doorkeeper) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := d.judge(request.Spec().Procedure); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (doorkeeper) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (d doorkeeper) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := d.judge(conn.Spec().Procedure); err != nil {
			return err
		}
		return next(ctx, conn)
	}
}
