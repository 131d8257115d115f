package cli_test

import (
	"io"
	"net"

	"github.com/weir-dev/weir/engine/history"
)

// newDoor listens before a server, and tells of each connection, so that a test can break it off.
func newDoor(server string, opened func(io.Closer)) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			opened(in)
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	return l, nil
}

func payloadOf(text string) history.Payload { return history.Text(text) }
