package main

import (
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw passes messages as the bytes they are, so that no peer needs protoc.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "proto" }

// maxMessage lets the 4 MiB messages through everywhere.
const maxMessage = 8 << 20

func serveGrpc(listener net.Listener) {
	server := grpc.NewServer(
		grpc.ForceServerCodec(raw{}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
		grpc.UnknownServiceHandler(grpcHandler),
	)
	check(server.Serve(listener))
}

func grpcHandler(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if method == failMethod {
		stream.SetTrailer(metadata.Pairs("x-trailer", "end"))
		return status.Error(codes.FailedPrecondition, "as asked")
	}
	if err := stream.SendHeader(metadata.Pairs("x-peer", "echo")); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("x-trailer", "end"))
	switch method {
	case mixUnary, mixCount, mixSum, mixBidi:
		return answerMix(method, stream)
	case healthMethod:
		answer := []byte{0x08, 0x01} // HealthCheckResponse{status: SERVING}
		return stream.SendMsg(&answer)
	case hangMethod:
		<-stream.Context().Done()
		return stream.Context().Err()
	case unaryMethod, bidiMethod:
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(&message); err != nil {
				return err
			}
		}
	}
	return status.Error(codes.Unimplemented, "no such method")
}
