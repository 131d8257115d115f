package faults_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// proxy stands between a process of ours and Postgres and reads along: it knows the name of every statement
// (from the comment sqlc leaves in it) and can cut, stall or silence a connection at any point of a pipeline.
type proxy struct {
	t        *testing.T
	listener net.Listener
	network  string
	address  string
	config   *pgx.ConnConfig

	mu    sync.Mutex
	rule  rule
	links map[*link]bool
}

// rule is asked about every statement a process executes, before and after it is passed on, and about the Sync
// that commits a pipeline. It runs on the link's goroutine and may block.
type rule func(at point) action

type action int

const (
	pass action = iota
	// cut ends both sides at once: what the server has received it may still execute, without a commit.
	cut
	// cutAnswer passes on the Sync, waits until the server has answered it, and ends the link without a word to
	// the process: the commit has landed, and the process cannot know.
	cutAnswer
)

// point is where a link is.
type point struct {
	link *link
	// app is the application_name of the connection, such as "weir lane".
	app string
	// pipeline counts the pipelines of the link that execute anything, from 1; step the statements in it, from 1.
	pipeline, step int
	// statement is its sqlc name, or its first words.
	statement string
	// sent tells that the statement has been passed on; else it is about to be.
	sent bool
	// sync means that the pipeline's Sync is about to be passed on.
	sync bool
	// first is the first statement of the pipeline.
	first string
}

// inBatch tells whether the statement belongs to a batch of a worker's committer, by the statement that begins it.
func (at point) inBatch() bool {
	return at.app == "weir lane" && (at.first == "AdvanceLane" || at.first == "CommitTurn")
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, config: config, links: map[*link]bool{}}
	p.network, p.address = pgNetwork(config)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.each(func(l *link) { l.close() })
		work.Wait()
	})
	return p
}

func pgNetwork(c *pgx.ConnConfig) (network, address string) {
	if strings.HasPrefix(c.Host, "/") {
		return "unix", fmt.Sprintf("%s/.s.PGSQL.%d", c.Host, c.Port)
	}
	return "tcp", net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}

// dsn is the proxy's own address.
func (p *proxy) dsn() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(p.config.User, p.config.Password), Host: p.listener.Addr().String(),
		Path: p.config.Database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// set replaces the rule; nil passes everything.
func (p *proxy) set(r rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = r
}

func (p *proxy) ask(at point) action {
	p.mu.Lock()
	r := p.rule
	p.mu.Unlock()
	if r == nil {
		return pass
	}
	return r(at)
}

// each calls fn for every open link.
func (p *proxy) each(fn func(*link)) {
	p.mu.Lock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		fn(l)
	}
}

// link is one connection through the proxy.
type link struct {
	p              *proxy
	client, server net.Conn
	app            string

	// Known to the goroutine that reads the client's side.
	statements map[string]string // by prepared name
	bound      string            // statement of the last Bind
	at         point

	mu     sync.Mutex
	mute   bool // drop what the server says; end the link after ReadyForQuery
	deaf   bool // neither side hears the other, nor that it has gone
	closed bool
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		_ = l.client.Close()
		_ = l.server.Close()
	}
}

// partition ends the server's side of the connections with this application_name and lets the process know
// nothing of it: a network that drops packets. What the process says goes nowhere, until heal.
func (p *proxy) partition(app string) {
	p.each(func(l *link) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.app == app {
			l.deaf = true
			_ = l.server.Close()
		}
	})
}

// heal lets processes know which of their connections have ended.
func (p *proxy) heal() {
	p.each(func(l *link) {
		if l.isDeaf() {
			l.close()
		}
	})
}

func (l *link) isDeaf() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deaf
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{p: p, client: client, server: server, statements: map[string]string{}}
	l.at.link = l
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		l.close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.answers()
	}()
	if err := l.startup(); err == nil {
		l.requests()
	}
	l.close()
	<-done
}

// startup passes on the first message, which says who connects.
func (l *link) startup() error {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(l.client, head); err != nil {
			return err
		}
		size, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if size < 8 || size > 1<<16 {
			return errors.New("not a startup message")
		}
		body := make([]byte, size-8)
		if _, err := io.ReadFull(l.client, body); err != nil {
			return err
		}
		const sslRequest, gssRequest = 80877103, 80877104
		if code == sslRequest || code == gssRequest {
			if _, err := l.client.Write([]byte("N")); err != nil {
				return err
			}
			continue
		}
		parts := bytes.Split(body, []byte{0})
		for i := 0; i+1 < len(parts); i += 2 {
			if string(parts[i]) == "application_name" {
				l.at.app = string(parts[i+1])
				l.mu.Lock()
				l.app = l.at.app
				l.mu.Unlock()
			}
		}
		_, err := l.server.Write(slices.Concat(head, body))
		return err
	}
}

// requests passes on the process's messages, one by one.
func (l *link) requests() {
	for {
		kind, message, err := readMessage(l.client)
		if err != nil {
			return
		}
		if l.isDeaf() {
			continue
		}
		body := message[5:]
		switch kind {
		case 'P': // Parse: name, query
			name, rest, _ := bytes.Cut(body, []byte{0})
			query, _, _ := bytes.Cut(rest, []byte{0})
			l.statements[string(name)] = nameOf(string(query))
		case 'B': // Bind: portal, statement
			_, rest, _ := bytes.Cut(body, []byte{0})
			name, _, _ := bytes.Cut(rest, []byte{0})
			l.bound = l.statements[string(name)]
		case 'E':
			if l.at.step == 0 {
				l.at.pipeline++
				l.at.first = l.bound
			}
			l.at.step++
			l.at.statement = l.bound
			if ok := l.act(message, false) && l.act(nil, true); !ok && !l.isDeaf() {
				return
			}
			continue
		case 'S':
			if l.at.step > 0 {
				l.at.sync, l.at.statement = true, "Sync"
				ok := l.act(message, false)
				l.at.sync, l.at.step = false, 0
				if !ok && !l.isDeaf() {
					return
				}
				continue
			}
		}
		if _, err := l.server.Write(message); err != nil && !l.isDeaf() {
			return
		}
	}
}

// act asks the rule and passes a message on, or not. It returns false when the link is over.
func (l *link) act(message []byte, sent bool) bool {
	at := l.at
	at.sent = sent
	switch l.p.ask(at) {
	case cut:
		l.close()
		return false
	case cutAnswer:
		l.mu.Lock()
		l.mute = true
		l.mu.Unlock()
	}
	if message == nil {
		return true
	}
	_, err := l.server.Write(message)
	return err == nil
}

// answers passes on what the server says.
func (l *link) answers() {
	for {
		kind, message, err := readMessage(l.server)
		l.mu.Lock()
		mute, deaf := l.mute, l.deaf
		l.mu.Unlock()
		if err != nil {
			if !deaf {
				l.close()
			}
			return
		}
		if mute {
			if kind == 'Z' {
				l.close()
				return
			}
			continue
		}
		if _, err := l.client.Write(message); err != nil {
			return
		}
	}
}

func readMessage(r io.Reader) (kind byte, message []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	message = make([]byte, 1+size)
	copy(message, head)
	if _, err := io.ReadFull(r, message[5:]); err != nil {
		return 0, nil, err
	}
	return head[0], message, nil
}

// nameOf is the name that sqlc gave a statement, else its first words.
func nameOf(query string) string {
	if rest, ok := strings.CutPrefix(query, "-- name: "); ok {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	return strings.Join(strings.Fields(query)[:min(3, len(strings.Fields(query)))], " ")
}
