// SPDX-License-Identifier: GPL-3.0-or-later

package node

import (
	"context"
	"fmt"
	"log"
	"net"
	"strconv"
	"time"

	"github.com/siderolabs/grpc-proxy/proxy"
	"github.com/siderolabs/talos/pkg/grpc/factory"
	"github.com/siderolabs/talos/pkg/grpc/middleware/authz"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

const stopTime = time.Second // for requests under way when the node goes down

// serve answers on the node's address until ctx ends or a reboot is asked for.
func (b *boot) serve(ctx context.Context) error {
	cfg := b.active()

	identity, err := b.identity(cfg)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}

	inner := bufconn.Listen(1 << 20)
	local := newLocal(inner)

	defer local.close()

	machinedServer := factory.NewServer(&machined{boot: b},
		factory.ServerOptions(grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize)),
		factory.WithUnaryInterceptor((&authz.Injector{Mode: authz.MetadataOnly}).UnaryInterceptor()),
		factory.WithStreamInterceptor((&authz.Injector{Mode: authz.MetadataOnly}).StreamInterceptor()),
		factory.WithUnaryInterceptor(logUnary),
		factory.WithStreamInterceptor(logStream),
		factory.WithUnaryInterceptor((&authz.Authorizer{Rules: rules, FallbackRoles: admins}).UnaryInterceptor()),
		factory.WithStreamInterceptor((&authz.Authorizer{Rules: rules, FallbackRoles: admins}).StreamInterceptor()),
		factory.WithUnaryInterceptor(b.controlUnary()),
		factory.WithStreamInterceptor(b.controlStream()),
	)

	router := newRouter(local, identity, b.Address, b.hostname(cfg))
	defer router.close()

	apidServer := factory.NewServer(router,
		factory.ServerOptions(
			grpc.Creds(credentials.NewTLS(identity.server())),
			grpc.ForceServerCodecV2(proxy.Codec()),
			grpc.UnknownServiceHandler(proxy.TransparentHandler(router.direct, proxy.WithStreamedDetector(streamed))),
			grpc.MaxRecvMsgSize(constants.GRPCMaxMessageSize),
		),
		factory.WithUnaryInterceptor((&authz.Injector{Mode: authz.Enabled}).UnaryInterceptor()),
		factory.WithStreamInterceptor((&authz.Injector{Mode: authz.Enabled}).StreamInterceptor()),
	)

	outer, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(b.Address, strconv.Itoa(constants.ApidPort)))
	if err != nil {
		return err
	}

	failed := make(chan error, 2)

	go func() { failed <- machinedServer.Serve(inner) }()
	go func() { failed <- apidServer.Serve(outer) }()

	log.Printf("%s: Talos %s API on %s", b.hostname(cfg), b.TalosVersion, outer.Addr())

	select {
	case err = <-failed:
	case <-ctx.Done():
	case <-b.reboot:
	}

	b.disarm()
	outer.Close() //nolint:errcheck // at once: who comes now is refused

	stopCtx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()

	factory.ServerGracefulStop(apidServer, stopCtx)
	machinedServer.Stop()

	return err
}

// logUnary and logStream write a line per request: method, result code and time, never what was sent or the error's
// text, which may quote the configuration.
func logUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	started := time.Now()

	answer, err := handler(ctx, req)
	log.Printf("%s %s %s", info.FullMethod, status.Code(err), time.Since(started).Round(time.Microsecond))

	return answer, err
}

func logStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	started := time.Now()

	err := handler(srv, stream)
	log.Printf("%s %s %s", info.FullMethod, status.Code(err), time.Since(started).Round(time.Microsecond))

	return err
}
