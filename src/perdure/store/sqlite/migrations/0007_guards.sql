-- What guards a run against a clock that was set back, and its inbox against flipped bits.

alter table runs add column fencing integer not null default 0; -- grows with each claim, whatever the clock says; 0: not claimed since

alter table inbox add column checksum integer; -- over everything before it; null: sent by a release that did not know it
