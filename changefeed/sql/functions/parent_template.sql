-- Purpose:   the text of the trigger function on a table that an owner expression reads: when the owner of a row of it
--            changes, the rows that depend on it change their owner with it, without an event of theirs. So the former
--            owner and the new one are told to refetch the dependent source; of a deleted row, the former one alone,
--            because in a cascade the parent is already invisible when its children go.
-- Parameters: fail_closed, see changefeed.capture_frame
-- Returns:   plpgsql source with {{placeholders}}
-- Locks:     none
-- Called by: changefeed.install_parent
--
-- Which dependent rows there are is never asked: that would be a scan of the dependent table. To be told to refetch what
-- has not changed harms nobody.
create function changefeed.parent_template(fail_closed boolean) returns text
language sql immutable set search_path = pg_catalog
return replace(replace(replace(replace(changefeed.capture_frame(fail_closed),
'{{variables}}', ''),
'{{collect}}', $collect$      refetch := 'owner';
    elsif tg_op = 'UPDATE' then
      if not ({{moved}}) then
        return null;
      end if;
      {{before_and_after}}
      if was_owner is not distinct from event_owner and not ({{linked_moved}}) then
        return null;
      end if;
    else
      {{before}}$collect$),
'{{order}}', $order$
    if refetch is null and was_owner is null and event_owner is null then
      return null;
    end if;
$order$),
'{{write}}', $write$    event_op := 'bulk';
    if was_owner is distinct from event_owner and was_owner is not null and event_owner is not null then
      -- Next to each other, and each names the other: whoever reads the log can tell who gave to whom.
      insert into changefeed.event (source, op, owner, owner_kind, data, seen)
        values ({{source}}, event_op, was_owner, {{owner_kind}},
                pg_catalog.jsonb_build_object('reason', 'owner', 'other', event_owner), {{seen}});
      data := pg_catalog.jsonb_build_object('reason', 'owner', 'other', was_owner);
    else
      event_owner := coalesce(was_owner, event_owner);
      data := pg_catalog.jsonb_build_object('reason', 'owner', 'other', null);
    end if;$write$);
