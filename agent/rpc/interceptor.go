package rpc

import (
	"context"

	"connectrpc.com/connect"
)

// NewInterceptor returns the interceptor of a server. It refuses the calls of
// procedures for which refuse returns an error, before their handler runs; a nil
// refuse accepts all. It converts every error of a call with sentinels.ToConnect.
func NewInterceptor(sentinels Sentinels, refuse func(procedure string) error) connect.Interceptor {
	if refuse == nil {
		refuse = func(string) error { return nil }
	}
	return interceptor{sentinels: sentinels, refuse: refuse}
}

type interceptor struct {
	sentinels Sentinels
	refuse    func(procedure string) error
}

// WrapUnary implements connect.Interceptor.
func (i interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := i.refuse(request.Spec().Procedure); err != nil {
			return nil, i.sentinels.ToConnect(err)
		}
		response, err := next(ctx, request)
		return response, i.sentinels.ToConnect(err)
	}
}

// WrapStreamingClient implements connect.Interceptor; it changes nothing.
func (interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (i interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		err := i.refuse(conn.Spec().Procedure)
		if err == nil {
			err = next(ctx, conn)
		}
		return i.sentinels.ToConnect(err)
	}
}
