package model

// faultySteps are steps that only exist while a rule is turned off.
func (p *protocol) faultySteps(b *brancher) {
	s := b.from
	if f := s.faulty.oldFlags; f.on {
		i := int(f.inst)
		b.step(progress, "the sender locks {i}, inserts, and acts on what it read before", 0, i, func(s *state) {
			clear(bytesOf(&s.faulty.oldFlags))
			if p.insert(s, i, message{kind: messageEvent}) {
				p.wakeBy(s, i, f.owner, f.turnJob)
			}
		})
	}
	if f := s.faulty.renewal; f.on {
		w, i := int(f.worker), int(f.inst)
		if s.workers[w].up && p.laneOpen(s, w) {
			b.step(progress, "{w} inserts the start message of the new generation of {i}", w, i, func(s *state) {
				clear(bytesOf(&s.faulty.renewal))
				if s.instances[i].gen == f.gen {
					p.insertRenewal(s, i, f.carried)
					p.wake(s, i)
				}
			})
		}
	}
	if f := s.faulty.stray; f.on {
		w, i := int(f.worker), int(f.inst)
		if s.workers[w].up && p.laneOpen(s, w) {
			b.step(progress, "{w} commits a unit that it should have discarded, on {i}", w, i, func(s *state) {
				clear(bytesOf(&s.faulty.stray))
				p.commit(s, w, []member{{inst: i, unit: &f.unit}})
			})
		}
	}
}
