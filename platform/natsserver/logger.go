package natsserver

import (
	"context"
	"fmt"
	"log/slog"
)

// logger is the server's logger. A fatal message also goes to fatal: the server
// expects that the process ends there.
type logger struct {
	log   *slog.Logger
	fatal chan string
}

func newLogger(log *slog.Logger) *logger {
	return &logger{log: log.With("component", "nats-server"), fatal: make(chan string, 1)}
}

func (l *logger) Noticef(format string, v ...any) { l.print("notice", format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.print("warning", format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.print("error", format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.print("debug", format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.print("trace", format, v) }

func (l *logger) Fatalf(format string, v ...any) {
	l.print("fatal", format, v)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}

func (l *logger) print(severity, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, fmt.Sprintf(format, v...), "severity", severity)
	}
}
