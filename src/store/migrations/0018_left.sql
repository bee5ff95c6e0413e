-- Zones that their catalog let go before schema 17, where a transfer in hand or an import overwrote the mark: nobody watches
-- them, and what stood in them accused their domains. Only those that the catalog listed, and that none lists now.

update zone
   set ended = 'left-catalog'
 where ended is null and view = 'zone'
       and (source_id, name) in (select m.source_id, m.zone_name
                                   from catalog_member m join source s on s.id = m.source_id
                                  where s.kind = 'catalog')
       and name not in (select zone_name from catalog_member where removed_at is null);
